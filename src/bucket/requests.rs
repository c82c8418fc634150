//! Requests to a server of S3's interface on loopback.

use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::LazyLock;
use std::time::Instant;

use super::{Bucket, Condition, Error, Kind, Put, Version};
use crate::skip::skip;

#[allow(dead_code, reason = "behaviour tests use the rest")]
#[path = "../../tests/moto/mod.rs"]
mod moto;
use moto::Moto;

/// One server for all tests: it takes seconds to start.
fn server() -> Option<&'static Moto> {
    static SERVER: LazyLock<Option<Moto>> = LazyLock::new(|| Moto::start(&["data"], skip));
    SERVER.as_ref()
}

/// The bucket of the server, below a prefix; `None` where the test is skipped.
pub(crate) fn bucket(prefix: &str) -> Option<Bucket> {
    let url = format!("s3://data/{prefix}");
    Some(Bucket::open_in(Path::new(&url), &moto::environment(server()?.port)).unwrap())
}

/// The version that a put made.
#[track_caller]
fn done(put: Put) -> Version {
    match put {
        Put::Done(version) => version,
        Put::Refused => panic!("refused"),
    }
}

#[test]
fn objects_are_listed_read_and_removed() {
    let Some(bucket) = bucket("a b/c#d%20") else { return };
    let keys = ["x", "x/y z", "x/y/é+&?=[]~.nii", "x.1"];
    for key in keys {
        done(bucket.put(key, key.as_bytes().to_vec(), Condition::Always).unwrap());
    }
    done(bucket.put("x/y", Vec::new(), Condition::Always).unwrap()); // stands for a folder
    let listed = bucket.list("").unwrap();
    let of = |objects: &[super::Object]| objects.iter().map(|object| object.key.clone()).collect::<Vec<_>>();
    assert_eq!(of(&listed), ["x", "x.1", "x/y z", "x/y/é+&?=[]~.nii"]);
    assert!(listed.iter().all(|object| object.size == object.key.len() as u64 && object.modified_ns.is_some()));
    assert_eq!(of(&bucket.list("x/y").unwrap()), ["x/y/é+&?=[]~.nii"]);
    for object in listed {
        let (bytes, version) = bucket.read(&object.key).unwrap().unwrap();
        assert_eq!((bytes, &version.e_tag), (object.key.clone().into_bytes(), &object.version.e_tag));
        assert_eq!(bucket.head(&object.key).unwrap().unwrap().size, object.size);
        bucket.delete(&object.key).unwrap();
        bucket.delete(&object.key).unwrap();
        assert_eq!(bucket.read(&object.key).unwrap(), None);
        assert_eq!(bucket.head(&object.key).unwrap(), None);
    }
}

#[test]
fn large_objects_go_in_parts_and_come_in_ranges() {
    let Some(bucket) = bucket("large") else { return };
    let bytes: Vec<u8> = (0..21_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&bytes).unwrap();
    let version = bucket.upload("v", file.path()).unwrap();
    assert_eq!(bucket.head("v").unwrap().unwrap().version.e_tag, version.e_tag);
    let mut back = Vec::new();
    assert_eq!(bucket.download("v", &mut back).unwrap(), bytes.len() as u64);
    assert!(back == bytes);
    for range in [0..0, 5..9, 8_388_600..16_777_300, 20_999_999..21_000_000] {
        let got = bucket.read_range("v", range.clone()).unwrap();
        assert!(got == bytes[range.start as usize..range.end as usize], "{range:?}");
    }
    let beyond = bucket.read_range("v", 20_999_990..21_000_001).unwrap_err();
    assert!(beyond.to_string().contains("s3://data/large/v"), "{beyond}");
    assert_eq!(bucket.download("w", &mut Vec::new()).unwrap_err().kind, Kind::Missing);
}

#[test]
fn conditions_hold_or_are_refused() {
    let Some(bucket) = bucket("conditions") else { return };
    let put = |bytes: &str, condition| bucket.put("m", bytes.into(), condition).unwrap();
    let nobody = Version { e_tag: Some("\"0\"".into()), id: None };
    assert_eq!(put("0", Condition::Unchanged(nobody)), Put::Refused);
    let first = done(put("1", Condition::New));
    assert_eq!(put("2", Condition::New), Put::Refused);
    assert_eq!(done(put("1", Condition::New)).e_tag, first.e_tag, "what is there already counts as written");
    let second = done(put("2", Condition::Unchanged(first.clone())));
    assert_eq!(put("3", Condition::Unchanged(first.clone())), Put::Refused);
    assert_eq!(bucket.read_unchanged("m", 0..1, &second).unwrap(), b"2");
    assert_eq!(bucket.read_unchanged("m", 0..1, &first).unwrap_err().kind, Kind::Changed);
}

#[test]
fn failures_say_what_to_check() {
    let Some(server) = server() else { return };
    let environment = moto::environment(server.port);
    let fails = |url: &str, changes: &[(&str, &str)]| -> Error {
        let mut environment = environment.clone();
        environment.extend(changes.iter().map(|(name, value)| (name.to_string(), value.to_string())));
        environment.retain(|_, value| !value.is_empty());
        let listed = Bucket::open_in(Path::new(url), &environment).and_then(|bucket| bucket.list(""));
        let error = listed.unwrap_err();
        assert!(!error.to_string().contains(moto::SECRET), "{error}");
        error
    };
    let absent = fails("s3://nobody/a", &[]);
    assert!(
        absent.to_string().contains("s3://nobody/a: the bucket \"nobody\" does not exist at http://127.0.0.1"),
        "{absent}"
    );

    // A port that nothing listens at, and a server that accepts and says nothing, are both gone within a minute.
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let accepts = TcpListener::bind("127.0.0.1:0").unwrap();
    let dead = |address: SocketAddr| {
        let begun = Instant::now();
        let dead = fails("s3://data", &[("AWS_ENDPOINT_URL", &format!("http://user:{}@{address}", moto::SECRET))]);
        assert_eq!(dead.kind, Kind::Unreachable, "{dead}");
        assert!(dead.to_string().contains(&format!("http://{address} does not answer")), "{dead}");
        assert!(begun.elapsed().as_secs() < 60, "{:?}", begun.elapsed());
    };
    let silent = accepts.local_addr().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| dead(free));
        dead(silent);
    });
    let none = fails("s3://data", &[("AWS_ACCESS_KEY_ID", ""), ("AWS_SECRET_ACCESS_KEY", "")]);
    assert!(none.to_string().contains("there are no credentials"), "{none}");
    let half = fails("s3://data", &[("AWS_SECRET_ACCESS_KEY", "")]);
    assert!(half.to_string().to_lowercase().contains("secret"), "{half}");
}
