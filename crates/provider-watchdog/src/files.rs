//! Mode `static`: files below a directory, and nothing above it.

use std::fs::Metadata;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http::header::{ALLOW, CONTENT_LENGTH, CONTENT_TYPE, LOCATION};
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt;
use tokio::fs::File;
use tokio::io::{AsyncRead, ReadBuf};

use crate::WatchdogError;
use crate::reply::{self, Body, BoxError};

const READ_SIZE: usize = 64 * 1024;
const INDEX: &str = "index.html";

/// A directory whose files are served.
#[derive(Debug)]
pub(crate) struct Files {
    /// Without links, so that what a path leads to can be compared with it.
    root: PathBuf,
}

/// What a request's path leads to.
enum Found {
    File(PathBuf),
    /// A directory asked for without its slash; links in its page would lead elsewhere.
    NeedsSlash,
    Nothing,
}

// === impl Files ===

impl Files {
    pub(crate) fn new(path: &Path) -> Result<Self, WatchdogError> {
        let unusable = |source| WatchdogError::StaticPath {
            path: path.to_owned(),
            source,
        };
        let root = path.canonicalize().map_err(unusable)?;
        std::fs::read_dir(&root).map_err(unusable)?;
        Ok(Self { root })
    }

    /// Answers GET and HEAD with a file, or with a directory's `index.html`.
    pub(crate) async fn answer<B>(&self, request: &Request<B>) -> Response<Body> {
        if request.method() != Method::GET && request.method() != Method::HEAD {
            let mut response = reply::text(
                StatusCode::METHOD_NOT_ALLOWED,
                "static files answer GET and HEAD only\n",
            );
            let allowed = HeaderValue::from_static("GET, HEAD");
            response.headers_mut().insert(ALLOW, allowed);
            return response;
        }
        match self.find(request.uri().path()).await {
            Ok(Found::File(path)) => match send(&path).await {
                Ok(response) => response,
                Err(error) => refused(&error),
            },
            Ok(Found::NeedsSlash) => with_slash(request.uri()),
            Ok(Found::Nothing) => not_found(),
            Err(error) => refused(&error),
        }
    }

    async fn find(&self, path: &str) -> io::Result<Found> {
        let Some(below) = below(path) else {
            return Ok(Found::Nothing);
        };
        let Some((mut file, metadata)) = self.inside(&self.root.join(below)).await? else {
            return Ok(Found::Nothing);
        };
        if metadata.is_file() {
            // `/page.html/` is no name of a file.
            return Ok(if path.ends_with('/') {
                Found::Nothing
            } else {
                Found::File(file)
            });
        }
        if !metadata.is_dir() {
            return Ok(Found::Nothing);
        }
        file.push(INDEX);
        Ok(match self.inside(&file).await? {
            Some((index, metadata)) if metadata.is_file() => {
                if path.ends_with('/') {
                    Found::File(index)
                } else {
                    Found::NeedsSlash
                }
            }
            _ => Found::Nothing,
        })
    }

    /// Follows links, and refuses those that lead out.
    async fn inside(&self, path: &Path) -> io::Result<Option<(PathBuf, Metadata)>> {
        let real = match tokio::fs::canonicalize(path).await {
            Ok(real) => real,
            Err(error) => {
                return match error.kind() {
                    io::ErrorKind::PermissionDenied => Err(error),
                    _ => Ok(None),
                };
            }
        };
        if !real.starts_with(&self.root) {
            return Ok(None);
        }
        let metadata = tokio::fs::metadata(&real).await?;
        Ok(Some((real, metadata)))
    }
}

/// A request's path as one below the root; None when it tries to leave it.
fn below(path: &str) -> Option<PathBuf> {
    let decoded: Vec<u8> = percent_encoding::percent_decode_str(path).collect();
    let decoded = String::from_utf8(decoded).ok()?;
    if decoded.contains('\0') {
        return None;
    }
    let mut below = PathBuf::new();
    for component in Path::new(&decoded).components() {
        match component {
            Component::Normal(name) => below.push(name),
            Component::RootDir | Component::CurDir => {}
            Component::ParentDir | Component::Prefix(_) => return None,
        }
    }
    Some(below)
}

async fn send(path: &Path) -> io::Result<Response<Body>> {
    let file = File::open(path).await?;
    let length = file.metadata().await?.len();
    let body = FileBody {
        file,
        left: length,
        buffer: BytesMut::new(),
    };
    let mut response = Response::new(body.boxed_unsync());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type(path)));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    Ok(response)
}

/// The redirect is relative, as the gateway's prefix is not known here.
fn with_slash(uri: &Uri) -> Response<Body> {
    let name = uri.path().rsplit('/').next().unwrap_or_default();
    let query = uri.query().map(|query| format!("?{query}"));
    let target = format!("./{name}/{}", query.unwrap_or_default());
    let Ok(target) = HeaderValue::from_str(&target) else {
        return not_found();
    };
    let mut response = reply::empty(StatusCode::MOVED_PERMANENTLY);
    response.headers_mut().insert(LOCATION, target);
    response
}

fn not_found() -> Response<Body> {
    reply::text(StatusCode::NOT_FOUND, "404 page not found\n")
}

fn refused(error: &io::Error) -> Response<Body> {
    match error.kind() {
        io::ErrorKind::PermissionDenied => reply::text(StatusCode::FORBIDDEN, "403 Forbidden\n"),
        io::ErrorKind::NotFound => not_found(),
        _ => reply::text(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the file cannot be read\n",
        ),
    }
}

fn content_type(path: &Path) -> &'static str {
    let ending = path.extension().and_then(|ending| ending.to_str());
    match ending.map(str::to_ascii_lowercase).as_deref() {
        Some("html" | "htm") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("json" | "map") => "application/json",
        Some("txt" | "log") => "text/plain; charset=utf-8",
        Some("md") => "text/markdown; charset=utf-8",
        Some("csv") => "text/csv; charset=utf-8",
        Some("xml") => "text/xml; charset=utf-8",
        Some("yaml" | "yml") => "application/yaml",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("jpg" | "jpeg") => "image/jpeg",
        Some("gif") => "image/gif",
        Some("webp") => "image/webp",
        Some("avif") => "image/avif",
        Some("ico") => "image/x-icon",
        Some("woff") => "font/woff",
        Some("woff2") => "font/woff2",
        Some("ttf") => "font/ttf",
        Some("otf") => "font/otf",
        Some("mp3") => "audio/mpeg",
        Some("ogg") => "audio/ogg",
        Some("wav") => "audio/wav",
        Some("mp4") => "video/mp4",
        Some("webm") => "video/webm",
        Some("pdf") => "application/pdf",
        Some("wasm") => "application/wasm",
        Some("zip") => "application/zip",
        Some("gz") => "application/gzip",
        Some("tar") => "application/x-tar",
        Some("webmanifest") => "application/manifest+json",
        _ => "application/octet-stream",
    }
}

/// A file's bytes, as many as its length was when it was opened.
struct FileBody {
    file: File,
    left: u64,
    buffer: BytesMut,
}

// === impl FileBody ===

impl HttpBody for FileBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        if this.left == 0 {
            return Poll::Ready(None);
        }
        let want = usize::try_from(this.left).map_or(READ_SIZE, |left| left.min(READ_SIZE));
        this.buffer.resize(want, 0);
        let mut buffer = ReadBuf::new(&mut this.buffer);
        let read = ready!(Pin::new(&mut this.file).poll_read(cx, &mut buffer));
        let length = buffer.filled().len();
        if let Err(error) = read {
            return Poll::Ready(Some(Err(error.into())));
        }
        if length == 0 {
            let error = io::Error::new(io::ErrorKind::UnexpectedEof, "the file became shorter");
            return Poll::Ready(Some(Err(error.into())));
        }
        this.left -= length as u64;
        Poll::Ready(Some(Ok(Frame::data(this.buffer.split_to(length).freeze()))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_stays_below_the_root() {
        assert_eq!(below("/a//./b%20c/"), Some(PathBuf::from("a/b c")));
        assert_eq!(below("/"), Some(PathBuf::new()));
        for path in [
            "/../x",
            "/a/../../x",
            "/%2e%2e/x",
            "/..%2fx",
            "/a%00b",
            "/%ff",
        ] {
            assert_eq!(below(path), None, "{path}");
        }
    }
}
