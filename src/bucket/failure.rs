//! Failed requests as sentences: what the server said, and what to check.

use object_store::client::{HttpError, HttpErrorKind};

use super::{Error, Kind};

/// Where a request went, as messages name it.
#[derive(Clone)]
pub(super) struct Endpoint {
    /// The bucket.
    pub bucket: String,
    /// The server, without a name and password in its URL.
    pub server: String,
    /// Whether the server is not one of AWS.
    pub custom: bool,
}

impl Endpoint {
    /// An endpoint's URL without what stands before an `@` in it.
    pub(super) fn shown(url: &str) -> String {
        match url.split_once("://") {
            Some((scheme, rest)) => {
                let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
                format!("{scheme}://{}{path}", host.rsplit('@').next().unwrap_or(host))
            }
            None => url.rsplit('@').next().unwrap_or(url).to_string(),
        }
    }

    /// The error of a failed request for `url`.
    pub(super) fn failure(&self, url: &str, error: &object_store::Error) -> Error {
        use object_store::Error as Failure;

        let answer = Answer::of(error);
        let Self { bucket, server, .. } = self;
        let connection = http_error(error).is_some_and(|http| http.kind() != HttpErrorKind::Decode);
        let (kind, what) = match (answer.code.as_str(), error) {
            ("NoSuchBucket", _) => {
                let check = "check its name, and the endpoint and account that the environment or profile sets";
                (Kind::Other, format!("the bucket {bucket:?} does not exist at {server}; {check}"))
            }
            ("PermanentRedirect" | "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException", _) => {
                (Kind::Other, format!("{answer}; set AWS_REGION to the region of the bucket {bucket:?}"))
            }
            ("InvalidAccessKeyId" | "SignatureDoesNotMatch" | "InvalidToken" | "ExpiredToken", _) => {
                let check = "check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, or AWS_PROFILE";
                (Kind::Denied, format!("{server} does not accept the credentials ({answer}); {check}"))
            }
            (_, Failure::PermissionDenied { .. } | Failure::Unauthenticated { .. }) => {
                let check = "check that the credentials may list, read and, for a dataset, write here";
                (Kind::Denied, format!("{server} denies access ({answer}); {check}"))
            }
            (_, Failure::NotFound { .. }) => (Kind::Missing, "no such object".to_string()),
            (_, Failure::Precondition { .. } | Failure::NotModified { .. }) => {
                (Kind::Changed, "the object was replaced while it was read; run the command again".to_string())
            }
            _ if answer.text.contains("169.254.") || answer.text.contains("security-credentials") => {
                (Kind::Denied, NO_CREDENTIALS.to_string())
            }
            _ if answer.text.contains("redirect without LOCATION") => {
                (Kind::Other, format!("the bucket is in another region; set AWS_REGION to that of {bucket:?}"))
            }
            _ if connection => {
                let variable = if self.custom { "AWS_ENDPOINT_URL" } else { "AWS_ENDPOINT_URL, AWS_REGION" };
                let check = format!("check {variable} and the network");
                (Kind::Unreachable, format!("{server} does not answer ({answer}); {check}"))
            }
            _ if answer.overloaded => (Kind::Unreachable, format!("{server} cannot answer now ({answer})")),
            _ => (Kind::Other, format!("the request to {server} failed: {answer}")),
        };
        Error::new(kind, url, what)
    }
}

/// What to say where no credentials are found.
pub(super) const NO_CREDENTIALS: &str = "there are no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or \
                                         AWS_PROFILE, or AWS_SKIP_SIGNATURE=true for a public bucket";

/// What an answer says, without what it repeats of the request.
struct Answer {
    /// The code of S3, or nothing.
    code: String,
    /// The sentence of S3, or the innermost error.
    text: String,
    /// Whether the server still refused to answer after all attempts.
    overloaded: bool,
}

impl Answer {
    fn of(error: &object_store::Error) -> Self {
        let whole = error.to_string();
        let element = |name: &str| {
            let rest = whole.split_once(&format!("<{name}>"))?.1;
            Some(rest.split_once("</")?.0.trim().to_string())
        };
        let overloaded = whole.contains("status code: 5");
        if let Some(code) = element("Code") {
            return Self { code, text: element("Message").unwrap_or_default(), overloaded };
        }
        let mut innermost: &dyn std::error::Error = error;
        while let Some(source) = innermost.source() {
            innermost = source;
        }
        // The place of a request for credentials is only in the text of all.
        let place = if whole.contains("169.254.") { "169.254.: " } else { "" };
        let text = innermost.to_string();
        let text = text.split('<').next().unwrap_or_default().trim_end_matches([' ', ':']);
        Self { code: String::new(), text: format!("{place}{text}"), overloaded }
    }
}

impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { code, text, .. } = self;
        match (code.is_empty(), text.is_empty()) {
            (false, false) => write!(f, "{code}: {}", text.trim_end_matches('.')),
            (false, true) => f.write_str(code),
            _ => f.write_str(text),
        }
    }
}

/// The failure of the connection that an error comes from, if it does.
fn http_error(error: &object_store::Error) -> Option<&HttpError> {
    let mut source: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = source {
        if let Some(http) = error.downcast_ref() {
            return Some(http);
        }
        source = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_quoted_without_the_request_that_they_repeat() {
        let body = "<Error><Code>SignatureDoesNotMatch</Code><Message>It differs.</Message>\
                    <CanonicalRequest>x-amz-security-token:HIDDEN</CanonicalRequest></Error>";
        let endpoint =
            Endpoint { bucket: "raw".into(), server: Endpoint::shown("http://u:p@host:1/x@y"), custom: true };
        let denied =
            object_store::Error::PermissionDenied { path: "a".into(), source: format!("status 403: {body}").into() };
        let error = endpoint.failure("s3://raw/a", &denied);
        assert_eq!(error.kind, Kind::Denied);
        assert!(error.to_string().contains("SignatureDoesNotMatch: It differs"), "{error}");
        assert!(error.to_string().contains("http://host:1/x@y"), "{error}");
        let unknown = object_store::Error::Generic { store: "S3", source: format!("418: <html>{body}").into() };
        for error in [error, endpoint.failure("s3://raw/a", &unknown)] {
            assert!(!error.to_string().contains("HIDDEN") && !error.to_string().contains("u:p"), "{error}");
        }
    }
}
