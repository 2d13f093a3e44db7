//! The other end of the operator face: what the subcommands speak.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;

use crate::operator::{ANSWER_TIME, OperatorAnswer, OperatorRequest, PREFIX, Told, route};
use crate::operator_socket::{SOCKET_NAME, address};

/// The longest answer, in bytes.
const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Why a command was not given or not obeyed.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    /// No server runs over this data directory, or none that has an operator face.
    #[error("no server runs over {0}: there is nobody at {SOCKET_NAME}")]
    NotRunning(PathBuf),
    /// What is there is not the server's socket.
    #[error("{0} is not the socket of a server that this user may trust")]
    Foreign(PathBuf),
    /// The socket is there and cannot be used.
    #[error("{path}: {cause}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// The operating system's reason.
        #[source]
        cause: io::Error,
    },
    /// The connection ended without an answer: among others for a user whom the server does not obey.
    #[error("the server gave no answer")]
    NoAnswer,
    /// The answer makes no sense: another release's, perhaps.
    #[error("the server's answer was not understood")]
    BadAnswer,
    /// The server says no.
    #[error("{message} ({code})")]
    Refused {
        /// A name for programs.
        code: String,
        /// A sentence for people.
        message: String,
    },
}

/// Gives a command to the server over this data directory. `own` is the user that this process runs as.
///
/// # Errors
/// [`OperatorError`].
pub async fn give_command(data: &Path, own: u32, request: &OperatorRequest) -> Result<OperatorAnswer, OperatorError> {
    let stream = connect(data, own).await?;
    match tokio::time::timeout(ANSWER_TIME, exchange(stream, request)).await {
        Ok(answer) => answer,
        Err(_) => Err(OperatorError::NoAnswer),
    }
}

/// Connects, and makes sure that a server answers which may see an unseal secret: one run by root, by the data
/// directory's owner or by this user.
async fn connect(data: &Path, own: u32) -> Result<UnixStream, OperatorError> {
    let path = data.join(SOCKET_NAME);
    let failed = |cause| OperatorError::Io { path: path.clone(), cause };
    let missing = |cause: io::Error| match cause.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => OperatorError::NotRunning(data.to_owned()),
        _ => failed(cause),
    };
    let directory = File::open(data).map_err(missing)?;
    let owner = directory.metadata().map_err(failed)?.uid();
    let found = std::fs::symlink_metadata(&path).map_err(missing)?;
    if !found.file_type().is_socket() {
        return Err(OperatorError::Foreign(path));
    }
    let stream = UnixStream::connect(address(&directory, &path)).await.map_err(missing)?;
    let server = stream.peer_cred().map_err(failed)?.uid();
    if [0, own, owner].contains(&server) { Ok(stream) } else { Err(OperatorError::Foreign(path)) }
}

async fn exchange(stream: UnixStream, request: &OperatorRequest) -> Result<OperatorAnswer, OperatorError> {
    let route = route(request.name()).ok_or(OperatorError::BadAnswer)?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|_| OperatorError::NoAnswer)?;
    let asked = Request::post(format!("{PREFIX}{}", request.name()))
        .header(header::HOST, SOCKET_NAME)
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(request.body()))
        .map_err(|_| OperatorError::BadAnswer)?;
    // The connection does the work, so it is driven beside the exchange; the exchange ends first.
    let connection = async move {
        let _ = connection.await;
        std::future::pending::<()>().await;
    };
    let exchanged = async move {
        let answer = sender.send_request(asked).await.map_err(|_| OperatorError::NoAnswer)?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
        Ok::<_, OperatorError>((status, body.map_err(|_| OperatorError::NoAnswer)?.to_bytes()))
    };
    let (status, body): (StatusCode, Bytes) = tokio::select! {
        exchanged = exchanged => exchanged?,
        () = connection => return Err(OperatorError::NoAnswer),
    };
    if status == StatusCode::OK {
        return (route.read_answer)(&body).map_err(|_| OperatorError::BadAnswer);
    }
    let Told { error } = serde_json::from_slice(&body).map_err(|_| OperatorError::BadAnswer)?;
    Err(OperatorError::Refused { code: error.code, message: error.message })
}
