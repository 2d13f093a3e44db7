//! The operator face's socket: whose it is, who may speak, and what stands in its way.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _, symlink};
use std::path::Path;
use std::sync::{Arc, Mutex};

use claviger_audit::{Call, Event, EventType, Log, Time, Value};
use claviger_engine::{BoxFuture, Chance, CommandError, Fault, Operator};
use claviger_server::{
    AccountNamed, AccountShown, Limits, Metrics, OperatorAnswer, OperatorError, OperatorFace, OperatorReply,
    OperatorRequest, OperatorSocketError, Operators, Server, bind_operator, give_command,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

/// Closes every account but one, and remembers who came.
struct StandIn {
    log: Log,
    came: Arc<Mutex<Vec<Operator>>>,
    turned_away: Arc<Mutex<Vec<Operator>>>,
}

impl Operators for StandIn {
    fn obey(
        &self,
        operator: Operator,
        request_id: String,
        request: OperatorRequest,
    ) -> BoxFuture<'_, Result<OperatorReply, Fault>> {
        Box::pin(async move {
            assert_eq!(request_id.len(), 36);
            self.came.lock().unwrap().push(operator);
            let answer = match request {
                OperatorRequest::AccountClose(AccountNamed { account }) if account == "111122223333" => {
                    let (name, created) = (String::new(), String::new());
                    Ok(OperatorAnswer::Account(AccountShown { account, name, created, closed: None }))
                }
                OperatorRequest::AccountClose(_) => Err(CommandError::refused("NoSuchAccount", "there is none")),
                _ => Err(CommandError::Fault(Fault::Store)),
            };
            let pending = self.log.open_call(call());
            Ok(self.log.append(pending, &Event::new(true), answer).unwrap())
        })
    }

    fn turned_away(&self, operator: Operator) {
        self.turned_away.lock().unwrap().push(operator);
    }
}

fn call() -> Call {
    Call {
        event_type: EventType::Operator,
        time: Time::from_millis(0),
        source: "claviger".into(),
        name: "Test".into(),
        region: "".into(),
        identity: Value::Null,
        source_address: "".into(),
        user_agent: None,
        request_id: None,
        event_id: "event".into(),
        recipient_account: "000000000000".into(),
        tls_details: None,
    }
}

struct Zeros;

impl Chance for Zeros {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), Fault> {
        buffer.fill(0);
        Ok(())
    }
}

struct Running {
    server: Server,
    came: Arc<Mutex<Vec<Operator>>>,
    turned_away: Arc<Mutex<Vec<Operator>>>,
}

/// The user of this process, as the file system knows it.
fn own() -> u32 {
    use std::os::unix::fs::MetadataExt as _;
    tempfile::tempdir().unwrap().path().metadata().unwrap().uid()
}

fn start(data: &Path, limits: Limits) -> Running {
    let socket = bind_operator(data, own()).unwrap();
    let (came, turned_away) = (Arc::default(), Arc::default());
    let operators = StandIn { log: Log::in_memory(10), came: Arc::clone(&came), turned_away: Arc::clone(&turned_away) };
    let server = Server::new(limits, Arc::new(Metrics::default()));
    server.listen_operator(socket, OperatorFace::new(Arc::new(operators), Arc::new(Zeros)));
    Running { server, came, turned_away }
}

fn close(account: &str) -> OperatorRequest {
    OperatorRequest::AccountClose(AccountNamed { account: account.to_owned() })
}

#[tokio::test]
async fn commands_are_answered_with_the_word_of_the_system_on_who_asks() {
    let data = tempfile::tempdir().unwrap();
    let running = start(data.path(), OperatorFace::limits());
    let mode = |path: &Path| path.symlink_metadata().unwrap().permissions().mode() & 0o777;
    let socket = data.path().join("operator.sock");
    assert_eq!((mode(data.path()), mode(&socket)), (0o700, 0o600));
    let answer = give_command(data.path(), own(), &close("111122223333")).await.unwrap();
    let OperatorAnswer::Account(account) = answer else { panic!("another answer") };
    assert_eq!(account.account, "111122223333");
    let process = i32::try_from(std::process::id()).ok();
    assert_eq!(*running.came.lock().unwrap(), [Operator { uid: own(), process }]);
    match give_command(data.path(), own(), &close("0")).await {
        Err(OperatorError::Refused { code, message }) => {
            assert_eq!((code.as_str(), message.as_str()), ("NoSuchAccount", "there is none"));
        }
        _ => panic!("not refused"),
    }
    match give_command(data.path(), own(), &OperatorRequest::Status).await {
        Err(OperatorError::Refused { code, .. }) => assert_eq!(code, "InternalFailure"),
        _ => panic!("not refused"),
    }
    assert!(running.turned_away.lock().unwrap().is_empty());
    running.server.drain().await;
    assert!(!socket.exists(), "the socket goes with its server");
    assert!(matches!(
        give_command(data.path(), own(), &OperatorRequest::Status).await,
        Err(OperatorError::NotRunning(_))
    ));
}

async fn raw(data: &Path, request: &str) -> String {
    let mut stream = UnixStream::connect(data.join("operator.sock")).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let answer = String::from_utf8(answer).unwrap();
    assert_eq!(answer.matches("\r\ndate: ").count(), 1, "{answer}");
    answer
}

#[tokio::test]
async fn requests_are_bounded_and_only_commands_are_answered() {
    let data = tempfile::tempdir().unwrap();
    let running = start(data.path(), OperatorFace::limits());
    let ask = async |line: &str, body: &str| {
        let length = body.len();
        raw(data.path(), &format!("{line} HTTP/1.1\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"))
            .await
    };
    for (line, body, status, code) in [
        ("POST /v1/none", "", 404, "NoSuchCommand"),
        ("POST /", "", 404, "NoSuchCommand"),
        ("POST /v1/", "", 404, "NoSuchCommand"),
        ("GET /v1/status", "", 405, "MethodNotAllowed"),
        ("POST /v1/status", "[", 400, "InvalidRequest"),
        ("POST /v1/account/close", "{\"account\":5}", 400, "InvalidRequest"),
        ("POST /v1/account/close", &"x".repeat(200_000), 413, "TooLarge"),
    ] {
        let answer = ask(line, body).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{line}: {answer}");
        assert!(answer.contains(&format!("{{\"error\":{{\"code\":\"{code}\"")), "{line}: {answer}");
    }
    let secret = "{\"account\":\"1\",\"kind\":\"file\",\"unseal\":\"hunter2 hunter2\"}";
    assert!(!ask("POST /v1/account/root-credentials", secret).await.contains("hunter2"));
    assert!(running.came.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_directory_of_another_user_is_refused() {
    let data = tempfile::tempdir().unwrap();
    let refused = bind_operator(data.path(), own() + 1);
    assert!(matches!(refused, Err(OperatorSocketError::ForeignDirectory(_))));
    assert!(!data.path().join("operator.sock").exists());
}

#[tokio::test]
async fn a_stale_socket_is_replaced() {
    let data = tempfile::tempdir().unwrap();
    let path = data.path().join("operator.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.symlink_metadata().unwrap().file_type().is_socket(), "what a killed server leaves");
    let _running = start(data.path(), OperatorFace::limits());
    give_command(data.path(), own(), &close("111122223333")).await.unwrap();
}

#[tokio::test]
async fn what_is_not_a_socket_of_ours_is_left_alone() {
    let data = tempfile::tempdir().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let path = data.path().join("operator.sock");
    let target = elsewhere.path().join("target");
    let _listener = std::os::unix::net::UnixListener::bind(&target).unwrap();
    symlink(&target, &path).unwrap();
    assert!(matches!(bind_operator(data.path(), own()), Err(OperatorSocketError::InTheWay(_))));
    assert!(matches!(give_command(data.path(), own(), &close("0")).await, Err(OperatorError::Foreign(_))));
    assert_eq!(std::fs::read_link(&path).unwrap(), target);
    std::fs::remove_file(&path).unwrap();
    // A link that leads nowhere is one all the same: binding must not make its target.
    symlink(elsewhere.path().join("nothing"), &path).unwrap();
    assert!(matches!(bind_operator(data.path(), own()), Err(OperatorSocketError::InTheWay(_))));
    assert!(!elsewhere.path().join("nothing").exists());
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, "a file").unwrap();
    assert!(matches!(bind_operator(data.path(), own()), Err(OperatorSocketError::InTheWay(_))));
    assert_eq!(std::fs::read(&path).unwrap(), b"a file");
}

#[tokio::test]
async fn a_directory_that_others_could_look_into_is_closed() {
    let data = tempfile::tempdir().unwrap();
    std::fs::set_permissions(data.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
    let _running = start(data.path(), OperatorFace::limits());
    assert_eq!(data.path().metadata().unwrap().permissions().mode() & 0o777, 0o700);
}

#[tokio::test]
async fn a_path_longer_than_an_address_works() {
    let data = tempfile::tempdir().unwrap();
    let long = data.path().join("a".repeat(120));
    std::fs::create_dir(&long).unwrap();
    let running = start(&long, OperatorFace::limits());
    give_command(&long, own(), &close("111122223333")).await.unwrap();
    running.server.drain().await;
    assert!(!long.join("operator.sock").exists());
}

#[tokio::test]
async fn a_socket_that_took_the_place_is_not_removed() {
    let data = tempfile::tempdir().unwrap();
    let running = start(data.path(), OperatorFace::limits());
    let path = data.path().join("operator.sock");
    std::fs::remove_file(&path).unwrap();
    let _other = std::os::unix::net::UnixListener::bind(&path).unwrap();
    running.server.drain().await;
    assert!(path.exists());
}
