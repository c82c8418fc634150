//! A server of S3's interface on loopback: `moto`, a program in Python (`ci/requirements.txt`).

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdin, Command, Stdio};

/// Serves until standard input is closed, so also when the test is killed. The first line is the port.
const SERVER: &str = "
import sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address='127.0.0.1', port=0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
";

/// A running server, which ends with this value.
pub struct Moto {
    pub port: u16,
    child: Child,
    /// Closed on drop, which ends the server.
    input: Option<ChildStdin>,
}

impl Moto {
    /// Starts a server with an empty bucket of each name. `None`, and a printed line, where `python3` has no `moto`.
    ///
    /// # Panics
    /// Where there is none and the variable `CI` is `true`.
    pub fn start(buckets: &[&str], skip: fn(String)) -> Option<Moto> {
        Self::start_with(buckets, &[], skip)
    }

    /// As [`start`](Self::start), with variables of moto.
    pub fn start_with(buckets: &[&str], variables: &[(&str, &str)], skip: fn(String)) -> Option<Moto> {
        let mut command = Command::new("python3");
        command.args(["-c", SERVER]).envs(variables.iter().copied());
        let spawned = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let Ok(mut child) = spawned else {
            skip("there is no python3".into());
            return None;
        };
        let mut line = String::new();
        BufReader::new(child.stdout.take()?).read_line(&mut line).unwrap();
        let Ok(port) = line.trim().parse() else {
            let output = child.wait_with_output().unwrap();
            let error = String::from_utf8_lossy(&output.stderr).lines().last().unwrap_or_default().to_string();
            skip(format!("python3 runs no moto (pip install -r ci/requirements.txt): {error}"));
            return None;
        };
        // What it logs of requests is read by nobody, and would block it.
        let mut log = child.stderr.take()?;
        std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
        let input = child.stdin.take();
        let moto = Moto { port, child, input };
        buckets.iter().for_each(|bucket| moto.request("PUT", &format!("/{bucket}"), &[]));
        Some(moto)
    }

    /// Puts an object, as a user would by other tools.
    pub fn put(&self, path: &str, bytes: &[u8]) {
        self.request("PUT", &format!("/{path}"), bytes);
    }

    /// Sends a request that must succeed. Moto accepts it without a signature.
    fn request(&self, method: &str, path: &str, bytes: &[u8]) {
        use std::io::{Read, Write};
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let authorization =
            "AWS4-HMAC-SHA256 Credential=k/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0";
        write!(
            stream,
            "{method} {} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nAuthorization: {authorization}\r\n\
             Content-Length: {}\r\n\r\n",
            path.replace(' ', "%20"),
            bytes.len()
        )
        .unwrap();
        stream.write_all(bytes).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.split(' ').nth(1).is_some_and(|status| status.starts_with('2')), "{method} {path}: {answer}");
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        self.input.take();
        let _ = self.child.wait();
    }
}

/// What a client of a server at `port` is to find in its environment, and nothing else that it could find.
pub fn environment(port: u16) -> BTreeMap<String, String> {
    let own = format!("http://127.0.0.1:{port}");
    [
        ("AWS_ACCESS_KEY_ID", KEY_ID),
        ("AWS_SECRET_ACCESS_KEY", SECRET),
        ("AWS_ENDPOINT_URL", &own),
        ("AWS_REGION", "us-east-1"),
        ("AWS_EC2_METADATA_DISABLED", "true"),
        ("AWS_CONFIG_FILE", "/dev/null"),
        ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null"),
        ("NO_PROXY", "127.0.0.1"),
    ]
    .map(|(name, value)| (name.to_string(), value.to_string()))
    .into()
}

/// The credentials of [`environment`].
pub const KEY_ID: &str = "AKIDKEYOFTHETESTS";
/// See [`KEY_ID`].
pub const SECRET: &str = "secret-of-the-tests";
