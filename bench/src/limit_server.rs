//! The limit server: reads a request to its end over the same HTTP stack as Claviger, and answers a canned reply.
//!
//! Where the cost of an operation is the library's, it calls the bare library before each answer, with a key of its
//! own, on the thread that received the request: there are as many threads as cores, and no way is shorter.

#![expect(clippy::print_stdout, reason = "the line that says where it listens is its interface")]

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use tokio::net::{TcpListener, TcpStream};

use crate::BenchError;
use crate::library::{self, Call};
use crate::operation::Operation;

/// As long as a request id of Claviger's, so that the reply has its size.
const REQUEST_ID: HeaderValue = HeaderValue::from_static("00000000-0000-4000-8000-000000000000");
const AWS_JSON: HeaderValue = HeaderValue::from_static("application/x-amz-json-1.1");

/// The reply, and the work before it.
#[derive(Default)]
struct Task {
    reply: Bytes,
    work: Option<Arc<Call>>,
}

type Canned = Arc<RwLock<Task>>;

/// Listens until the process is stopped.
pub(crate) async fn run(listen: SocketAddr) -> Result<(), BenchError> {
    let listener = TcpListener::bind(listen).await?;
    println!("listening on http://{}", listener.local_addr()?);
    let canned = Canned::default();
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(serve(stream, Arc::clone(&canned)));
    }
}

async fn serve(stream: TcpStream, canned: Canned) {
    let service = service_fn(move |request| {
        let canned = Arc::clone(&canned);
        async move { Ok::<_, Infallible>(answer(request, &canned).await) }
    });
    // A connection's error is its client's; the driver notices by itself.
    let _ = Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(request: Request<Incoming>, canned: &RwLock<Task>) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let body = match body.collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => Bytes::new(),
    };
    if head.method == Method::PUT {
        return match learn(head.uri.path(), body) {
            Ok(task) => {
                *canned.write().unwrap_or_else(PoisonError::into_inner) = task;
                Response::new(Full::default())
            }
            Err(error) => failure(error.to_string()),
        };
    }
    let (reply, work) = {
        let task = canned.read().unwrap_or_else(PoisonError::into_inner);
        (task.reply.clone(), task.work.clone())
    };
    if work.is_some_and(|work| !work()) {
        return failure("the library failed".to_owned());
    }
    let mut response = Response::new(Full::new(reply));
    response.headers_mut().insert(header::CONTENT_TYPE, AWS_JSON);
    response.headers_mut().insert("x-amzn-requestid", REQUEST_ID);
    response
}

/// What `PUT /canned/OPERATION` teaches.
fn learn(path: &str, reply: Bytes) -> Result<Task, BenchError> {
    let name = path.strip_prefix("/canned/").ok_or("PUT /canned/OPERATION is all there is")?;
    let work = match Operation::parse(name)? {
        Operation::Work(work) => Some(Arc::new(library::prepare(work)?.1)),
        Operation::Encrypt | Operation::Decrypt | Operation::GenerateDataKey => None,
    };
    Ok(Task { reply, work })
}

fn failure(text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    response
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use bytes::Bytes;

    use super::learn;

    #[test]
    fn it_learns_a_reply_and_the_work_before_it() {
        let reply = Bytes::from_static(b"{}");
        let task = learn("/canned/encrypt", reply.clone()).unwrap();
        assert!(task.reply == reply && task.work.is_none());
        let task = learn("/canned/sign-p-256", reply.clone()).unwrap();
        assert!(task.reply == reply && task.work.unwrap()());
        assert!(learn("/canned/sign-p-255", reply.clone()).is_err());
        assert!(learn("/", reply).is_err());
    }
}
