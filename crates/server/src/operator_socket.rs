//! The operator face's socket in the data directory.

use std::fs::{File, Permissions};
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use claviger_engine::Operator;
use claviger_secret::event;
use tokio::net::{UnixListener, UnixStream};

use crate::connection;
use crate::operator::{OperatorFace, Session};
use crate::server::{Door, Guest, Server, Shared};

/// The socket's name in the data directory.
pub(crate) const SOCKET_NAME: &str = "operator.sock";
/// The longest path that a Unix socket's address holds, in bytes, its ending zero left out.
const ADDRESS_BYTES_MAX: usize = 107;

/// Why the operator face's socket cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum OperatorSocketError {
    /// Somebody else could put a socket of their own there.
    #[error("{0} belongs to another user: only its owner may write in the data directory")]
    ForeignDirectory(PathBuf),
    /// What stands in its place was not put there by an earlier run of this server.
    #[error("{0} is not a socket of this server's user: look at it, and remove it")]
    InTheWay(PathBuf),
    /// The operating system does not let it be made.
    #[error("{path}: {cause}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// The operating system's reason.
        #[source]
        cause: io::Error,
    },
}

/// The bound socket.
#[derive(Debug)]
pub struct OperatorSocket {
    listener: UnixListener,
    file: SocketFile,
    owner: u32,
}

/// The file of a bound socket; dropping it removes the file, unless another has taken its place.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let still_ours =
            std::fs::symlink_metadata(&self.path).is_ok_and(|found| (found.dev(), found.ino()) == self.identity);
        if still_ours {
            // What is left is removed by the next start.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Makes the socket. To be called with the store's lock held: then a socket that is found there has no server any more.
/// `owner` is the user that this process runs as. Must be called within the tokio runtime.
///
/// # Errors
/// [`OperatorSocketError`]; nothing that was found is changed then, but that the directory may be closed to others.
pub fn bind_operator(data: &Path, owner: u32) -> Result<OperatorSocket, OperatorSocketError> {
    let path = data.join(SOCKET_NAME);
    let failed = |cause| OperatorSocketError::Io { path: path.clone(), cause };
    let directory = File::open(data).map_err(failed)?;
    close_to_others(&directory, data, owner).map_err(failed)??;
    match std::fs::symlink_metadata(&path) {
        // A link is not followed: it is in the way like any other file.
        Ok(found) if found.file_type().is_socket() && found.uid() == owner => {
            std::fs::remove_file(&path).map_err(failed)?;
        }
        Ok(_) => return Err(OperatorSocketError::InTheWay(path)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    let listener = UnixListener::bind(address(&directory, &path)).map_err(failed)?;
    let found = std::fs::symlink_metadata(&path).map_err(failed)?;
    let file = SocketFile { path: path.clone(), identity: (found.dev(), found.ino()) };
    std::fs::set_permissions(&path, Permissions::from_mode(0o600)).map_err(failed)?;
    Ok(OperatorSocket { listener, file, owner })
}

/// Sees to it that only the owner can put something into the directory, or look into it.
fn close_to_others(directory: &File, data: &Path, owner: u32) -> io::Result<Result<(), OperatorSocketError>> {
    let found = directory.metadata()?;
    if found.uid() != owner {
        return Ok(Err(OperatorSocketError::ForeignDirectory(data.to_owned())));
    }
    if found.mode() & 0o077 != 0 {
        event!(warn, "the data directory was open to others; its mode is now 0700", mode = found.mode() & 0o777);
        directory.set_permissions(Permissions::from_mode(0o700))?;
    }
    Ok(Ok(()))
}

/// The socket's path, or a shorter one by way of the open directory when an address cannot hold it.
pub(crate) fn address(directory: &File, path: &Path) -> PathBuf {
    if path.as_os_str().as_bytes().len() <= ADDRESS_BYTES_MAX {
        return path.to_owned();
    }
    PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd())).join(SOCKET_NAME)
}

impl Server {
    /// Starts to serve the operator face. Must be called within the tokio runtime.
    pub fn listen_operator(&self, socket: OperatorSocket, face: OperatorFace) {
        let OperatorSocket { listener, file, owner } = socket;
        self.open(OperatorDoor { listener, face: Arc::new(face), owner, _file: file });
    }
}

struct OperatorDoor {
    listener: UnixListener,
    face: Arc<OperatorFace>,
    owner: u32,
    _file: SocketFile,
}

struct OperatorGuest {
    stream: UnixStream,
    face: Arc<OperatorFace>,
    owner: u32,
}

impl Door for OperatorDoor {
    type Guest = OperatorGuest;

    async fn accept(&self) -> io::Result<OperatorGuest> {
        let (stream, _) = self.listener.accept().await?;
        Ok(OperatorGuest { stream, face: Arc::clone(&self.face), owner: self.owner })
    }
}

impl Guest for OperatorGuest {
    async fn serve(self, shared: Arc<Shared>) {
        let Self { stream, face, owner } = self;
        // Without knowing who it is nobody is served; the file's mode has then been got round already.
        let Ok(peer) = stream.peer_cred() else { return };
        let operator = Operator { uid: peer.uid(), process: peer.pid().filter(|process| *process > 0) };
        if operator.uid != owner && operator.uid != 0 {
            // Not a byte is read of what it sends.
            return face.turn_away(operator);
        }
        let handler = Arc::new(Session { face, operator });
        connection::serve(stream, IpAddr::V4(Ipv4Addr::LOCALHOST), None, handler, shared).await;
    }
}
