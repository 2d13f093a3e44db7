//! What is sent: a key made through the API, and requests for it, signed ahead.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use claviger_api::Timestamp;
use claviger_secret::SecretBytes;
use claviger_wire::sigv4::{self, Scope};
use http::{HeaderValue, Method, Request, Uri, header};
use serde_json::{Value, json};

use crate::BenchError;
use crate::load::Options;
use crate::operation::{Action, Operation, Work};
use crate::wire_client::{Connection, serialize};

/// Bytes of the plaintext or message.
const TEXT_BYTES: usize = 32;

/// Signs awsJson requests for one server.
pub(crate) struct Client {
    server: Uri,
    credentials: sigv4::Credentials,
    region: String,
}

impl Client {
    pub(crate) fn new(server: Uri, options: &Options) -> Self {
        Self::of(server, &options.access_key_id, &options.secret_access_key, &options.region)
    }

    /// A client with an access key.
    pub(crate) fn of(server: Uri, access_key_id: &str, secret_access_key: &str, region: &str) -> Self {
        let credentials = sigv4::Credentials {
            access_key_id: access_key_id.to_owned(),
            secret_access_key: SecretBytes::from_slice(secret_access_key.as_bytes()),
            session_token: None,
        };
        Self { server, credentials, region: region.to_owned() }
    }

    /// A connection to the server.
    pub(crate) async fn connection(&self) -> Result<Connection, BenchError> {
        Connection::open(&self.server).await
    }

    /// A signed request as it goes over the wire. It is good for five minutes.
    pub(crate) fn request(&self, operation: &str, body: &[u8]) -> Result<Vec<u8>, BenchError> {
        let (mut head, ()) = Request::builder()
            .method(Method::POST)
            .uri("/")
            .header(header::HOST, self.host()?)
            .header(header::CONTENT_TYPE, "application/x-amz-json-1.1")
            .header("x-amz-target", format!("TrentService.{operation}"))
            .header(header::USER_AGENT, "claviger-bench")
            .body(())?
            .into_parts();
        let scope = Scope { region: &self.region, service: "kms" };
        sigv4::sign(&mut head, body, &self.credentials, scope, now()?)?;
        Ok(serialize(&head.method, "/", &head.headers, body))
    }

    /// Calls an operation once and answers the reply's JSON.
    pub(crate) async fn call(&self, operation: &str, body: &Value) -> Result<Value, BenchError> {
        let request = self.request(operation, body.to_string().as_bytes())?;
        let mut connection = Connection::open(&self.server).await?;
        let reply = connection.exchange(&request).await?;
        if reply.status != 200 {
            return Err(format!("{operation}: {} {}", reply.status, String::from_utf8_lossy(reply.body)).into());
        }
        Ok(if reply.body.is_empty() { Value::Null } else { serde_json::from_slice(reply.body)? })
    }

    /// Teaches a limit server its reply, and the work before it.
    pub(crate) async fn teach(&self, operation: Operation, reply: &[u8]) -> Result<(), BenchError> {
        let mut headers = http::HeaderMap::new();
        headers.insert(header::HOST, self.host()?);
        let request = serialize(&Method::PUT, &format!("/canned/{operation}"), &headers, reply);
        let status = Connection::open(&self.server).await?.exchange(&request).await?.status;
        if status == 200 { Ok(()) } else { Err(format!("the limit server answered {status}").into()) }
    }

    fn host(&self) -> Result<HeaderValue, BenchError> {
        Ok(HeaderValue::from_str(self.server.authority().ok_or("the URL names no host")?.as_str())?)
    }
}

fn now() -> Result<Timestamp, BenchError> {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH)?;
    Ok(Timestamp::from_millis(i64::try_from(since_epoch.as_millis())?))
}

/// Different bodies of one operation under a fresh key, all of one size: the server sees no request twice in a row.
pub(crate) async fn bodies(client: &Client, operation: Operation, count: usize) -> Result<Vec<Vec<u8>>, BenchError> {
    let (spec, usage) = match operation {
        Operation::Work(Work { action, key }) => (key.spec(), action.usage()),
        Operation::Encrypt | Operation::Decrypt | Operation::GenerateDataKey => {
            ("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT")
        }
    };
    let key = json!({"Description": "claviger-bench", "KeySpec": spec, "KeyUsage": usage});
    let made = client.call("CreateKey", &key).await?;
    let key_id = made.pointer("/KeyMetadata/KeyId").and_then(Value::as_str).ok_or("CreateKey answered no KeyId")?;
    let mut bodies = Vec::with_capacity(count);
    for number in 0..count {
        let text = BASE64.encode(format!("{number:0TEXT_BYTES$}"));
        let body = match operation {
            Operation::Encrypt => json!({"KeyId": key_id, "Plaintext": text}),
            Operation::GenerateDataKey => json!({"KeyId": key_id, "KeySpec": "AES_256"}),
            Operation::Decrypt => {
                let sealed = client.call("Encrypt", &json!({"KeyId": key_id, "Plaintext": text})).await?;
                json!({"CiphertextBlob": sealed.get("CiphertextBlob")})
            }
            Operation::Work(work) => work_body(client, work, key_id, &text).await?,
        };
        bodies.push(body.to_string().into_bytes());
    }
    Ok(bodies)
}

/// A request for one work; what it verifies or decrypts is made by the server first. `text` is in base64.
async fn work_body(client: &Client, work: Work, key_id: &str, text: &str) -> Result<Value, BenchError> {
    let algorithm = work.key.algorithm();
    let (mut body, made_by) = match work.action {
        Action::Sign | Action::Verify => {
            let body = json!({"Message": text, "MessageType": "RAW", "SigningAlgorithm": algorithm});
            (body, ("Sign", "Signature"))
        }
        Action::GenerateMac | Action::VerifyMac => {
            (json!({"Message": text, "MacAlgorithm": algorithm}), ("GenerateMac", "Mac"))
        }
        Action::Decrypt => {
            let body = json!({"Plaintext": text, "EncryptionAlgorithm": "RSAES_OAEP_SHA_256"});
            (body, ("Encrypt", "CiphertextBlob"))
        }
    };
    let members = body.as_object_mut().ok_or("a body is an object")?;
    members.insert("KeyId".to_owned(), Value::from(key_id));
    if matches!(work.action, Action::Verify | Action::VerifyMac | Action::Decrypt) {
        let (operation, member) = made_by;
        let mut made = client.call(operation, &Value::Object(members.clone())).await?;
        let made = made.get_mut(member).ok_or("the reply lacks what was asked for")?.take();
        members.insert(member.to_owned(), made);
        if work.action == Action::Decrypt {
            members.remove("Plaintext");
        }
    }
    Ok(body)
}
