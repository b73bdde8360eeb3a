//! Who is heard over the control socket, and who is not.

use super::*;

async fn ask(dir: &Path, request: &'static str) -> io::Result<Option<Connection>> {
    let dir = dir.to_owned();
    tokio::task::spawn_blocking(move || control(&dir, request))
        .await
        .unwrap()
}

fn mode(path: &Path) -> u32 {
    path.symlink_metadata().unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn a_request_is_heard_and_what_follows_is_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let socket = ControlSocket::bind(dir.path()).unwrap();
    let answer = async {
        let call = socket.next().await.unwrap();
        assert_eq!(call.request, "backup now");
        let mut stream = call.accept().await.unwrap();
        stream.write_all(b"first\nsecond").await.unwrap();
    };
    let (asked, ()) = tokio::join!(ask(dir.path(), "backup now"), answer);
    let mut text = String::new();
    asked.unwrap().unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(text, "first\nsecond");
    assert_eq!(mode(&dir.path().join("control.sock")), 0o600);
    assert_eq!(mode(&dir.path().join("control.key")), 0o600);
}

#[tokio::test]
async fn a_refusal_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let socket = ControlSocket::bind(dir.path()).unwrap();
    let answer = async {
        let call = socket.next().await.unwrap();
        call.refuse("it is\nunknown").await.unwrap();
    };
    let (asked, ()) = tokio::join!(ask(dir.path(), "dance"), answer);
    assert_eq!(asked.unwrap_err().to_string(), "it is unknown");
}

#[tokio::test]
async fn a_caller_without_the_key_is_not_heard() {
    let dir = tempfile::tempdir().unwrap();
    let socket = ControlSocket::bind(dir.path()).unwrap();
    let path = dir.path().join("control.sock");
    for line in ["backup\n", " backup\n", "0123 backup\n"] {
        let mut connection = UnixStream::connect(&path).await.unwrap();
        connection.write_all(line.as_bytes()).await.unwrap();
        let mut said = String::new();
        tokio::select! {
            _ = socket.next() => panic!("{line:?} was heard"),
            read = connection.read_to_string(&mut said) => drop(read.unwrap()),
        }
        assert_eq!(said, "error the key is wrong\n");
    }
}

#[tokio::test]
async fn where_nobody_listens_there_is_nobody() {
    let dir = tempfile::tempdir().unwrap();
    assert!(ask(dir.path(), "backup").await.unwrap().is_none());
    assert!(ask(&dir.path().join("none"), "x").await.unwrap().is_none());
    drop(ControlSocket::bind(dir.path()).unwrap());
    assert!(ask(dir.path(), "backup").await.unwrap().is_none());
    // The next one takes the place of what is left.
    let socket = ControlSocket::bind(dir.path()).unwrap();
    let (asked, ()) = tokio::join!(ask(dir.path(), "backup"), async {
        drop(socket.next().await.unwrap().accept().await.unwrap());
    });
    assert!(asked.unwrap().is_some());
}

#[tokio::test]
async fn the_directory_may_have_a_long_name() {
    let dir = tempfile::tempdir().unwrap();
    let long = dir.path().join("x".repeat(200));
    std::fs::create_dir(&long).unwrap();
    let socket = ControlSocket::bind(&long).unwrap();
    let (asked, call) = tokio::join!(ask(&long, "backup"), async {
        socket.next().await.unwrap().accept().await
    });
    drop((asked.unwrap().unwrap(), call.unwrap()));
}

#[tokio::test]
async fn a_key_that_was_not_written_whole_is_made_anew() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("control.key"), "0123").unwrap();
    let first = ControlSocket::bind(dir.path()).unwrap().key;
    assert_eq!(first.len(), 64);
    assert_eq!(ControlSocket::bind(dir.path()).unwrap().key, first);
}
