//! A prefix in a bucket of an S3-compatible service.
//!
//! The calls block, on a small runtime of their own, so the rest of the store needs no `async`. A
//! request that fails on the way is tried again; an object is never trusted before its length is right.

mod upload;

use std::future::Future;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock, mpsc};

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::client::ClientConfigKey;
use object_store::path::Path;
use object_store::{
    Error, GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutOptions,
    UpdateVersion,
};
use tokio::runtime::{Builder, Runtime};

use super::{Expected, Stamp, Tail};
use crate::StoreError;
use crate::destination::shown;

pub(crate) use upload::Upload;

/// Attempts for a read whose body breaks off; the client itself repeats requests that get no answer.
const ATTEMPTS: usize = 4;
/// Room for a part of 8 MiB on a slow line.
const TIMEOUT: &str = "120s";
/// Variables whose values must never be seen.
const SECRETS: [&str; 3] = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"];

/// A prefix in a bucket.
#[derive(Clone)]
pub(crate) struct Remote {
    bucket: Arc<dyn ObjectStore>,
    url: String,
    prefix: String,
}

/// Shows the URL and nothing of the client, which holds credentials.
impl std::fmt::Debug for Remote {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Remote({})", self.url)
    }
}

impl Remote {
    /// The prefix that a URL names, with everything else from the usual `AWS_*` variables.
    pub(crate) fn new(url: &str) -> Result<Self, StoreError> {
        let wrong = |reason: &str| StoreError::Url { url: shown(url), reason: reason.into() };
        let (scheme, rest) = url.split_once("://").unwrap_or_default();
        if scheme != "s3" {
            return Err(wrong("a store lies in a folder or at s3://BUCKET/PREFIX"));
        }
        if rest.contains(['@', '?', '#']) {
            return Err(wrong("credentials and options belong into AWS_* variables"));
        }
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.is_empty() {
            return Err(wrong("the name of the bucket is missing"));
        }
        // Someone else may have chosen a provider already: then theirs does.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = AmazonS3Builder::from_env().with_bucket_name(bucket);
        if std::env::var_os("AWS_TIMEOUT").is_none() {
            let key = AmazonS3ConfigKey::Client(ClientConfigKey::Timeout);
            builder = builder.with_config(key, TIMEOUT);
        }
        if goes_in_the_clear(&builder) {
            return Err(wrong("its endpoint is not encrypted; AWS_ALLOW_HTTP=true allows that"));
        }
        let client = builder.build().map_err(|e| wrong(&reason_of(&e)))?;
        let prefix = prefix.trim_matches('/').to_string();
        Ok(Self { bucket: Arc::new(client), url: shown(url).trim_end_matches('/').into(), prefix })
    }

    pub(crate) fn name(&self, key: &str) -> PathBuf {
        if key.is_empty() { self.url.clone() } else { format!("{}/{key}", self.url) }.into()
    }

    pub(crate) fn get(&self, key: &str) -> Result<Option<(Vec<u8>, Stamp)>, StoreError> {
        Ok(self.read(key, None, None)?.map(|tail| (tail.bytes, tail.stamp)))
    }

    pub(crate) fn tail(&self, key: &str, bytes: usize) -> Result<Option<Tail>, StoreError> {
        self.read(key, Some(GetRange::Suffix(bytes as u64)), None)
    }

    pub(crate) fn range(
        &self,
        key: &str,
        stamp: &Stamp,
        range: Range<u64>,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let wanted = range.end - range.start;
        match self.read(key, Some(GetRange::Bounded(range)), stamp.version.clone())? {
            Some(found) if found.stamp != *stamp => Ok(None),
            Some(found) if found.bytes.len() as u64 != wanted => {
                let reason = format!("{} bytes came of {wanted}", found.bytes.len());
                Err(self.failed("read", key, reason))
            }
            found => Ok(found.map(|found| found.bytes)),
        }
    }

    pub(crate) fn stamp(&self, key: &str) -> Result<Option<Stamp>, StoreError> {
        let (bucket, path) = (self.bucket.clone(), self.path(key));
        match self.wait("ask for", key, async move { bucket.head(&path).await })? {
            Ok(meta) => Ok(Some(stamp_of(&meta))),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.failed("ask for", key, reason_of(&error))),
        }
    }

    pub(crate) fn put(&self, key: &str, bytes: &[u8]) -> Result<(), StoreError> {
        self.put_all(&[(key.to_string(), bytes.to_vec())])
    }

    /// Writes objects side by side.
    pub(crate) fn put_all(&self, objects: &[(String, Vec<u8>)]) -> Result<(), StoreError> {
        let mut sent = Vec::new();
        for (key, bytes) in objects {
            let (bucket, path, bytes) = (self.bucket.clone(), self.path(key), bytes.clone());
            let put = async move { bucket.put(&path, bytes.into()).await.map(drop) };
            sent.push((key, self.start("write", key, put)?));
        }
        for (key, answer) in sent {
            self.answer("write", key, &answer)?
                .map_err(|error| self.failed("write", key, reason_of(&error)))?;
        }
        Ok(())
    }

    pub(crate) fn put_if(
        &self,
        key: &str,
        bytes: &[u8],
        expected: &Expected,
    ) -> Result<bool, StoreError> {
        let mode = match expected {
            Expected::Nothing => PutMode::Create,
            Expected::Version(stamp) => {
                PutMode::Update(UpdateVersion { e_tag: stamp.version.clone(), version: None })
            }
        };
        let (bucket, path, body) = (self.bucket.clone(), self.path(key), bytes.to_vec());
        let options = PutOptions { mode, ..PutOptions::default() };
        let put = async move { bucket.put_opts(&path, body.into(), options).await };
        match self.wait("write", key, put)? {
            Ok(_) => Ok(true),
            // An answer that was lost and asked for again looks like somebody else's write.
            Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => {
                Ok(self.get(key)?.is_some_and(|(found, _)| found == bytes))
            }
            Err(Error::NotFound { .. }) if matches!(expected, Expected::Version(_)) => Ok(false),
            Err(error) => Err(self.failed("write", key, reason_of(&error))),
        }
    }

    pub(crate) fn remove(&self, key: &str) -> Result<(), StoreError> {
        let (bucket, path) = (self.bucket.clone(), self.path(key));
        match self.wait("remove", key, async move { bucket.delete(&path).await })? {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.failed("remove", key, reason_of(&error))),
        }
    }

    pub(crate) fn children(&self, key: &str) -> Result<Vec<String>, StoreError> {
        let (bucket, path) = (self.bucket.clone(), self.path(key));
        let list = async move { bucket.list_with_delimiter(Some(&path)).await };
        let found = self.wait("list", key, list)?;
        let found = found.map_err(|error| self.failed("list", key, reason_of(&error)))?;
        let objects = found.objects.into_iter().map(|meta| meta.location);
        let paths = found.common_prefixes.into_iter().chain(objects);
        let names = paths.filter_map(|path| path.filename().map(String::from));
        let mut names: Vec<String> = names.filter(|name| !name.starts_with('.')).collect();
        names.sort();
        Ok(names)
    }

    pub(crate) fn begin(&self, key: &str) -> Upload {
        Upload::new(self.clone(), key)
    }

    /// Reads an object or a part of it; nothing if it is not there or no longer the one expected.
    fn read(
        &self,
        key: &str,
        range: Option<GetRange>,
        if_match: Option<String>,
    ) -> Result<Option<Tail>, StoreError> {
        let mut attempt = 1;
        loop {
            let (bucket, path) = (self.bucket.clone(), self.path(key));
            let (range, if_match) = (range.clone(), if_match.clone());
            let options = GetOptions { range, if_match, ..GetOptions::default() };
            let get = async move {
                let found = bucket.get_opts(&path, options).await?;
                let stamp = stamp_of(&found.meta);
                Ok(Tail { bytes: found.bytes().await?.into(), stamp })
            };
            match self.wait("read", key, get)? {
                Ok(tail) => return Ok(Some(tail)),
                Err(Error::NotFound { .. } | Error::Precondition { .. }) => return Ok(None),
                Err(Error::Generic { .. }) if attempt < ATTEMPTS => attempt += 1,
                Err(error) => return Err(self.failed("read", key, reason_of(&error))),
            }
        }
    }

    fn path(&self, key: &str) -> Path {
        Path::from(format!("{}/{key}", self.prefix))
    }

    fn failed(&self, verb: &'static str, key: &str, reason: impl Into<String>) -> StoreError {
        StoreError::Remote { verb, path: self.name(key), reason: reason.into() }
    }

    /// Carries a request out on the runtime and waits for it, whatever thread this is.
    fn wait<T: Send + 'static>(
        &self,
        verb: &'static str,
        key: &str,
        request: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) -> Result<Result<T, Error>, StoreError> {
        let answer = self.start(verb, key, request)?;
        self.answer(verb, key, &answer)
    }

    fn start<T: Send + 'static>(
        &self,
        verb: &'static str,
        key: &str,
        request: impl Future<Output = T> + Send + 'static,
    ) -> Result<mpsc::Receiver<T>, StoreError> {
        let (send, receive) = mpsc::sync_channel(1);
        let runtime = runtime().map_err(|e| self.failed(verb, key, e.to_string()))?;
        runtime.spawn(async move {
            // Nobody listens any more: then nobody needs the answer.
            let _ = send.send(request.await);
        });
        Ok(receive)
    }

    fn answer<T>(
        &self,
        verb: &'static str,
        key: &str,
        answer: &mpsc::Receiver<T>,
    ) -> Result<T, StoreError> {
        answer.recv().map_err(|_| self.failed(verb, key, "the request was dropped"))
    }
}

/// Whether the service would be asked without encryption and nobody allowed it.
fn goes_in_the_clear(builder: &AmazonS3Builder) -> bool {
    let endpoint = [AmazonS3ConfigKey::S3Endpoint, AmazonS3ConfigKey::Endpoint]
        .iter()
        .find_map(|key| builder.get_config_value(key));
    let allow = AmazonS3ConfigKey::Client(ClientConfigKey::AllowHttp);
    let allowed = builder.get_config_value(&allow).is_some_and(|value| value == "true");
    endpoint.is_some_and(|url| url.starts_with("http://")) && !allowed
}

fn stamp_of(meta: &ObjectMeta) -> Stamp {
    Stamp { length: meta.size, version: meta.e_tag.clone() }
}

fn runtime() -> std::io::Result<&'static Runtime> {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    if let Some(runtime) = RUNTIME.get() {
        return Ok(runtime);
    }
    let mut builder = Builder::new_multi_thread();
    let made = builder.worker_threads(2).thread_name("surco-store").enable_all().build()?;
    Ok(RUNTIME.get_or_init(|| made))
}

/// What went wrong, in a line, with nothing in it that opens a door.
fn reason_of(error: &Error) -> String {
    let text = match error {
        Error::NotFound { .. } => "the service says that it, or its bucket, is not there".into(),
        Error::PermissionDenied { .. } => "the service says that these credentials may not".into(),
        Error::Unauthenticated { .. } => {
            "the service does not know the credentials; set AWS_ACCESS_KEY_ID and \
             AWS_SECRET_ACCESS_KEY"
                .into()
        }
        other => other.to_string(),
    };
    let secrets: Vec<String> = SECRETS.iter().filter_map(|name| std::env::var(name).ok()).collect();
    scrubbed(&text, &secrets)
}

/// The first line of a message; of an answer in XML, which may repeat the key, only the code.
fn scrubbed(text: &str, secrets: &[String]) -> String {
    let code = text.split_once("<Code>").and_then(|(_, rest)| rest.split_once("</Code>"));
    let before = text.split(['<', '\n']).next().unwrap_or_default().trim_end();
    let mut line = match code {
        Some((code, _)) => format!("{before} {code}"),
        None => before.to_string(),
    };
    for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
        line = line.replace(secret.as_str(), "…");
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_repeats_the_key_is_cut_to_its_code() {
        let said = "Generic S3 error: status code: 403: <?xml version=\"1.0\"?><Error>\n\
                    <Code>InvalidAccessKeyId</Code><AWSAccessKeyId>AKIAGEHEIM</AWSAccessKeyId>";
        assert_eq!(scrubbed(said, &[]), "Generic S3 error: status code: 403: InvalidAccessKeyId");
        let said = "cannot sign AKIAGEHEIM with pst";
        let secrets = ["AKIAGEHEIM".to_string(), "pst".to_string(), String::new()];
        assert_eq!(scrubbed(said, &secrets), "cannot sign … with …");
    }

    #[test]
    fn other_schemes_and_credentials_in_a_url_are_refused() {
        let said = |url: &str| Remote::new(url).map(drop).unwrap_err().to_string();
        assert_eq!(
            said("gs://harvest/cubes"),
            "cannot use gs://harvest/cubes: a store lies in a folder or at s3://BUCKET/PREFIX"
        );
        let error = said("s3://AKIA:geheim@harvest/cubes");
        assert!(error.contains("AWS_*") && !error.contains("geheim"), "{error}");
        assert!(said("s3:///cubes").contains("bucket is missing"));
    }
}
