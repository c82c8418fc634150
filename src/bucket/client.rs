//! The client: `object_store` on threads of its own.

use std::collections::VecDeque;
use std::fmt;
use std::fs::File;
use std::future::Future;
use std::io::{Read, Write};
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use futures_util::{StreamExt, TryStreamExt, stream};
use object_store::aws::AmazonS3;
use object_store::path::Path as Location;
use object_store::{
    GetOptions, GetRange, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload,
    PutResult, UpdateVersion,
};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use super::failure::Endpoint;
use super::settings::{self, Environment};
use super::{Condition, Error, Kind, Object, Put, Result, Version};

/// Most bytes of one request, except where an upload would have more than 10,000 parts.
const PART: u64 = 8 << 20;

/// Requests of one read or upload at a time. With parts of [`PART`] they fill a connection of 10 Gbit/s, and a slow
/// one of 6 Mbit/s carries them within the time of one.
const IN_FLIGHT: usize = 4;

/// A server that did not answer any attempt of a request is not asked again for this time.
const SILENT: Duration = Duration::from_secs(60);

/// Most parts of an upload (S3's limit).
const MAX_PARTS: u64 = 10_000;

/// A prefix of a bucket. Clones share their connections.
#[derive(Clone)]
pub(crate) struct Bucket {
    store: Arc<AmazonS3>,
    runtime: &'static Runtime,
    endpoint: Endpoint,
    /// Without `/` at its ends.
    prefix: String,
    /// When the server was last found not to answer, and what was said of it.
    silent: Arc<Mutex<Option<(Instant, Error)>>>,
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url(""))
    }
}

impl Bucket {
    /// Sets up the client of `s3://bucket/prefix` with what the environment and the profiles say. Nothing is requested.
    ///
    /// # Errors
    /// The URL is none of a bucket, or the environment or a profile contradicts itself.
    pub(crate) fn open(url: &Path) -> Result<Self> {
        let variables = std::env::vars_os();
        Self::open_in(
            url,
            &variables
                .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
                .collect(),
        )
    }

    /// As [`open`](Self::open), with these variables.
    pub(crate) fn open_in(url: &Path, environment: &Environment) -> Result<Self> {
        let (bucket, prefix) = super::parse(url.as_os_str())?;
        let refused = |why: String| Error::new(Kind::Other, url.display().to_string(), why);
        let (builder, endpoint) = settings::configured(bucket, environment).map_err(refused)?;
        let store = builder.build().map_err(|error| refused(error.to_string()))?;
        let runtime = runtime().map_err(|error| refused(format!("no threads for requests: {error}")))?;
        Ok(Self { store: Arc::new(store), runtime, endpoint, prefix: prefix.to_string(), silent: Arc::default() })
    }

    /// The URL of an object, for messages; that of the prefix where the key is empty.
    pub(crate) fn url(&self, key: &str) -> String {
        let parts = [self.endpoint.bucket.as_str(), &self.prefix, key];
        let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        format!("{}{}", super::SCHEME, parts.join("/"))
    }

    /// The server, as messages name it.
    pub(crate) fn server(&self) -> &str {
        &self.endpoint.server
    }

    /// All objects whose keys begin with `below` and `/`, or all where it is empty, sorted by key. Empty objects that
    /// stand for folders (`a/` where there is `a/b`) are left out.
    ///
    /// # Errors
    /// The request failed.
    pub(crate) fn list(&self, below: &str) -> Result<Vec<Object>> {
        let location = self.location(below)?;
        let store = self.store.clone();
        let listed = async move { store.list(Some(&location)).try_collect::<Vec<ObjectMeta>>().await };
        let metas = self.run(listed).map_err(|error| self.failure(below, &error))?;
        let mut objects: Vec<Object> = metas.into_iter().filter_map(|meta| self.object(meta)).collect();
        objects.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(without_folders(objects))
    }

    /// What a listing would say of one object; `None` where it is not there.
    ///
    /// # Errors
    /// The request failed.
    pub(crate) fn head(&self, key: &str) -> Result<Option<Object>> {
        let location = self.location(key)?;
        let store = self.store.clone();
        let headed = self.run(async move { store.head(&location).await });
        self.found(key, headed).map(|meta| meta.and_then(|meta| self.object(meta)))
    }

    /// A whole object and its version; `None` where it is not there.
    ///
    /// # Errors
    /// The request failed.
    pub(crate) fn read(&self, key: &str) -> Result<Option<(Vec<u8>, Version)>> {
        let location = self.location(key)?;
        let store = self.store.clone();
        let got = self.run(async move {
            let got = store.get(&location).await?;
            let version = version_of(&got.meta);
            Ok((Vec::from(got.bytes().await?), version))
        });
        self.found(key, got)
    }

    /// Bytes of an object; those of a large range by several requests.
    ///
    /// # Errors
    /// The request failed, or the object has fewer bytes.
    pub(crate) fn read_range(&self, key: &str, range: Range<u64>) -> Result<Vec<u8>> {
        self.read_unchanged(key, range, &Version::default())
    }

    /// As [`read_range`](Self::read_range), of an object that is still of this version.
    ///
    /// # Errors
    /// As [`read_range`](Self::read_range), and [`Kind::Changed`] where the object was replaced.
    pub(crate) fn read_unchanged(&self, key: &str, range: Range<u64>, version: &Version) -> Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(usize::try_from(range.end.saturating_sub(range.start)).unwrap_or(0));
        self.stream(key, range, version, &mut |part| {
            bytes.extend_from_slice(part);
            Ok(())
        })?;
        Ok(bytes)
    }

    /// Fills `out` from `offset`, of an object that is still of this version; by several requests at a time where it is
    /// large.
    ///
    /// # Errors
    /// As [`read_unchanged`](Self::read_unchanged).
    pub(crate) fn read_into(&self, key: &str, offset: u64, out: &mut [u8], version: &Version) -> Result<()> {
        let range = offset..offset + out.len() as u64;
        let mut left = out;
        self.stream(key, range, version, &mut |part| {
            let (here, rest) = std::mem::take(&mut left).split_at_mut(part.len());
            here.copy_from_slice(part);
            left = rest;
            Ok(())
        })
    }

    /// Begins to read a range by one request, of an object that is still of this version.
    ///
    /// # Errors
    /// The key is none that can be requested.
    pub(crate) fn begin(&self, key: &str, range: Range<u64>, version: &Version) -> Result<Pending> {
        let task = self.runtime.spawn(part(self.store.clone(), self.location(key)?, range.clone(), version));
        Ok(Pending { bucket: self.clone(), key: key.to_string(), range, task })
    }

    /// Writes all bytes of an object to `to`; their number.
    ///
    /// # Errors
    /// The request failed, the object was replaced on the way, or `to` failed.
    pub(crate) fn download(&self, key: &str, to: &mut dyn Write) -> Result<u64> {
        let missing = || Error::new(Kind::Missing, self.url(key), "no such object");
        let object = self.head(key)?.ok_or_else(missing)?;
        self.stream(key, 0..object.size, &object.version, &mut |part| to.write_all(part))?;
        Ok(object.size)
    }

    /// Writes a file to an object, in several parts where it is large.
    ///
    /// # Errors
    /// The file cannot be read, or a request failed; the object is then as it was.
    pub(crate) fn upload(&self, key: &str, from: &Path) -> Result<Version> {
        let unreadable =
            |error| Error::new(Kind::Other, self.url(key), format!("cannot send {}: {error}", from.display()));
        let mut file = File::open(from).map_err(unreadable)?;
        let size = file.metadata().map_err(unreadable)?.len();
        if size <= PART {
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes).map_err(unreadable)?;
            return match self.put(key, bytes, Condition::Always)? {
                Put::Done(version) => Ok(version),
                Put::Refused => Err(Error::new(Kind::Other, self.url(key), "the upload was refused")),
            };
        }
        let location = self.location(key)?;
        let store = self.store.clone();
        let begun = self.run(async move { store.put_multipart(&location).await });
        let mut upload = begun.map_err(|error| self.failure(key, &error))?;
        let sent = self.send_parts(key, &mut *upload, &mut file, size, &unreadable);
        if sent.is_err() {
            // What was sent is of no use; where this fails too, the rules of the bucket expire it.
            let _ = self.runtime.block_on(upload.abort());
        }
        sent
    }

    fn send_parts(
        &self,
        key: &str,
        upload: &mut dyn MultipartUpload,
        file: &mut File,
        size: u64,
        unreadable: &dyn Fn(std::io::Error) -> Error,
    ) -> Result<Version> {
        let part = PART.max(size.div_ceil(MAX_PARTS));
        let mut in_flight = VecDeque::new();
        let wait = |task| {
            let sent: Result<_, tokio::task::JoinError> = self.runtime.block_on(task);
            sent.map_err(object_store::Error::from).flatten().map_err(|error| self.failure(key, &error))
        };
        loop {
            let mut bytes = Vec::new();
            Read::by_ref(file).take(part).read_to_end(&mut bytes).map_err(unreadable)?;
            if bytes.is_empty() {
                break;
            }
            if in_flight.len() == IN_FLIGHT
                && let Some(task) = in_flight.pop_front()
            {
                wait(task)?;
            }
            in_flight.push_back(self.runtime.spawn(upload.put_part(PutPayload::from(bytes))));
        }
        in_flight.into_iter().try_for_each(wait)?;
        let put = self.runtime.block_on(upload.complete()).map_err(|error| self.failure(key, &error))?;
        Ok(version_of_put(put))
    }

    /// Writes an object if `condition` holds. An object that already has these bytes counts as written whatever the
    /// condition: that is what a repeated request finds whose first answer was lost.
    ///
    /// # Errors
    /// The request failed, or the store knows no conditions.
    pub(crate) fn put(&self, key: &str, bytes: Vec<u8>, condition: Condition) -> Result<Put> {
        let location = self.location(key)?;
        let conditional = condition != Condition::Always;
        let mode = match condition {
            Condition::Always => PutMode::Overwrite,
            Condition::New => PutMode::Create,
            Condition::Unchanged(Version { e_tag, id }) => PutMode::Update(UpdateVersion { e_tag, version: id }),
        };
        let (store, payload) = (self.store.clone(), PutPayload::from(bytes));
        let sent = payload.clone();
        let put =
            self.run(async move { store.put_opts(&location, sent, PutOptions { mode, ..Default::default() }).await });
        match put {
            Ok(put) => Ok(Put::Done(version_of_put(put))),
            Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. })
                if conditional =>
            {
                match self.read(key)? {
                    Some((found, version)) if payload.iter().flatten().eq(&found) => Ok(Put::Done(version)),
                    _ => Ok(Put::Refused),
                }
            }
            Err(error) => Err(self.failure(key, &error)),
        }
    }

    /// Removes an object; one that is gone is no error.
    ///
    /// # Errors
    /// The request failed.
    pub(crate) fn delete(&self, key: &str) -> Result<()> {
        let location = self.location(key)?;
        let store = self.store.clone();
        let deleted = self.run(async move { store.delete(&location).await });
        self.found(key, deleted).map(|_| ())
    }

    /// Passes the bytes of a range to `take`, in order, while the requests for the next ones are under way.
    fn stream(
        &self,
        key: &str,
        range: Range<u64>,
        version: &Version,
        take: &mut dyn FnMut(&[u8]) -> std::io::Result<()>,
    ) -> Result<()> {
        let location = self.location(key)?;
        let parts = (range.start..range.end).step_by(PART as usize).map(|start| start..range.end.min(start + PART));
        let requests = parts.map(|range| {
            let running = self.runtime.spawn(part(self.store.clone(), location.clone(), range.clone(), version));
            async move { (range, running.await.map_err(object_store::Error::from).flatten()) }
        });
        // A spawned request goes on while `take` works.
        let mut answers = stream::iter(requests).buffered(IN_FLIGHT);
        while let Some((part, answer)) = self.runtime.block_on(answers.next()) {
            let bytes = answer.map_err(|error| self.failure(key, &error))?;
            self.complete(key, &part, bytes.len())?;
            take(&bytes).map_err(|error| Error::new(Kind::Other, self.url(key), error.to_string()))?;
        }
        Ok(())
    }

    /// An error unless `count` bytes are all of a range.
    fn complete(&self, key: &str, range: &Range<u64>, count: usize) -> Result<()> {
        let expected = range.end - range.start;
        if count as u64 == expected {
            return Ok(());
        }
        let Range { start, end } = range;
        let what = format!("{expected} bytes expected from {start} to {end}, {count} received");
        Err(Error::new(Kind::Other, self.url(key), what))
    }

    /// Waits for a request on the threads of the client.
    fn run<T: Send + 'static>(
        &self,
        request: impl Future<Output = object_store::Result<T>> + Send + 'static,
    ) -> object_store::Result<T> {
        let task = self.runtime.spawn(request);
        self.runtime.block_on(task).map_err(object_store::Error::from).flatten()
    }

    /// `None` for the answer that there is no such object.
    fn found<T>(&self, key: &str, answer: object_store::Result<T>) -> Result<Option<T>> {
        match answer.map_err(|error| self.failure(key, &error)) {
            Ok(found) => Ok(Some(found)),
            Err(error) if error.kind == Kind::Missing => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn failure(&self, key: &str, error: &object_store::Error) -> Error {
        let error = self.endpoint.failure(&self.url(key), error);
        if error.kind == Kind::Unreachable {
            *self.silent.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), error.clone()));
        }
        error
    }

    /// The place of an object. An error where the server did not answer another request shortly before: thousands of
    /// requests that each wait for it in vain would take hours.
    fn location(&self, key: &str) -> Result<Location> {
        let silent = self.silent.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((_, error)) = silent.filter(|(since, _)| since.elapsed() < SILENT) {
            return Err(error);
        }
        let whole = match (self.prefix.as_str(), key) {
            ("", key) => key.to_string(),
            (prefix, "") => prefix.to_string(),
            (prefix, key) => format!("{prefix}/{key}"),
        };
        Location::parse(whole).map_err(|error| Error::new(Kind::Other, self.url(key), error.to_string()))
    }

    /// `None` for what is not below the prefix: the object that stands for it as a folder.
    fn object(&self, meta: ObjectMeta) -> Option<Object> {
        let below = meta.location.as_ref().strip_prefix(&self.prefix)?;
        let key = if self.prefix.is_empty() { below } else { below.strip_prefix('/')? };
        let version = version_of(&meta);
        let modified_ns = meta.last_modified.timestamp_nanos_opt();
        (!key.is_empty()).then(|| Object { key: key.to_string(), size: meta.size, modified_ns, version })
    }
}

/// A request for a range that was begun. Dropped, it is given up.
pub(crate) struct Pending {
    bucket: Bucket,
    key: String,
    range: Range<u64>,
    task: JoinHandle<object_store::Result<Vec<u8>>>,
}

impl Pending {
    /// The bytes.
    ///
    /// # Errors
    /// As [`Bucket::read_unchanged`].
    pub(crate) fn wait(mut self) -> Result<Vec<u8>> {
        let answer = self.bucket.runtime.block_on(&mut self.task).map_err(object_store::Error::from).flatten();
        let bytes = answer.map_err(|error| self.bucket.failure(&self.key, &error))?;
        self.bucket.complete(&self.key, &self.range, bytes.len())?;
        Ok(bytes)
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A range of an object of this version, by one request.
fn part(
    store: Arc<AmazonS3>,
    location: Location,
    range: Range<u64>,
    version: &Version,
) -> impl Future<Output = object_store::Result<Vec<u8>>> + Send + 'static {
    let Version { e_tag, id } = version.clone();
    let options =
        GetOptions { range: Some(GetRange::Bounded(range)), if_match: e_tag, version: id, ..Default::default() };
    async move { Ok(Vec::from(store.get_opts(&location, options).await?.bytes().await?)) }
}

/// Leaves out empty objects that others are below. Objects are sorted by key.
fn without_folders(objects: Vec<Object>) -> Vec<Object> {
    let folders: Vec<bool> = objects
        .iter()
        .map(|object| {
            let folder = format!("{}/", object.key);
            let at = objects.partition_point(|other| other.key < folder);
            object.size == 0 && objects.get(at).is_some_and(|other| other.key.starts_with(&folder))
        })
        .collect();
    objects.into_iter().zip(folders).filter_map(|(object, folder)| (!folder).then_some(object)).collect()
}

fn version_of(meta: &ObjectMeta) -> Version {
    Version { e_tag: meta.e_tag.clone(), id: meta.version.clone() }
}

fn version_of_put(put: PutResult) -> Version {
    Version { e_tag: put.e_tag, id: put.version }
}

/// The threads of all clients of the process.
fn runtime() -> std::io::Result<&'static Runtime> {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    if let Some(runtime) = RUNTIME.get() {
        return Ok(runtime);
    }
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(2).thread_name("bucket").enable_all().build()?;
    Ok(RUNTIME.get_or_init(|| runtime))
}
