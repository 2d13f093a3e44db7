//! The limit server: reads a request to its end over the same HTTP stack as Claviger, and answers a canned reply.

#![expect(clippy::print_stdout, reason = "the line that says where it listens is its interface")]

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use tokio::net::{TcpListener, TcpStream};

use crate::BenchError;

/// As long as a request id of Claviger's, so that the reply has its size.
const REQUEST_ID: HeaderValue = HeaderValue::from_static("00000000-0000-4000-8000-000000000000");
const AWS_JSON: HeaderValue = HeaderValue::from_static("application/x-amz-json-1.1");

type Canned = Arc<RwLock<Bytes>>;

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

async fn answer(request: Request<Incoming>, canned: &RwLock<Bytes>) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let body = match body.collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => Bytes::new(),
    };
    if head.method == Method::PUT {
        *canned.write().unwrap_or_else(PoisonError::into_inner) = body;
        return Response::new(Full::default());
    }
    let reply = canned.read().unwrap_or_else(PoisonError::into_inner).clone();
    let mut response = Response::new(Full::new(reply));
    response.headers_mut().insert(header::CONTENT_TYPE, AWS_JSON);
    response.headers_mut().insert("x-amzn-requestid", REQUEST_ID);
    response
}
