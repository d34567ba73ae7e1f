use http::{
    HeaderName, HeaderValue,
    header::{AUTHORIZATION, CONTENT_TYPE},
};
use purlin_endpoint::BoxError;
use ring::{
    digest::{SHA256, digest},
    hmac::{HMAC_SHA256, Key, sign},
};
use std::{fmt, time::SystemTime};

/// Who sends.
#[derive(Clone)]
pub struct Credentials {
    id: String,
    secret: String,
    token: Option<String>,
}

impl Credentials {
    /// An access key.
    pub fn new(id: impl Into<String>, secret: impl Into<String>) -> Self {
        Self { id: id.into(), secret: secret.into(), token: None }
    }

    /// The token that belongs to a temporary one.
    #[must_use]
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// The headers of a signed POST of a form to `/`, by Signature Version 4 as the AWS General
    /// Reference describes it.
    pub(crate) fn sign(
        &self,
        host: &str,
        region: &str,
        service: &str,
        body: &str,
        now: SystemTime,
    ) -> Result<Vec<(HeaderName, HeaderValue)>, BoxError> {
        let time = stamp(now);
        let day = time.get(..8).unwrap_or_default();
        let mut headers = vec![
            ("content-type", FORM.to_owned()),
            ("host", host.to_owned()),
            ("x-amz-date", time.clone()),
        ];
        headers.extend(self.token.clone().map(|token| ("x-amz-security-token", token)));
        let signed = headers.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(";");
        let lines: String =
            headers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
        let canonical = format!("POST\n/\n\n{lines}\n{signed}\n{}", hashed(body));
        let scope = format!("{day}/{region}/{service}/aws4_request");
        let text = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", hashed(&canonical));
        let secret = format!("AWS4{}", self.secret);
        let key = [day, region, service, "aws4_request"]
            .into_iter()
            .fold(secret.into_bytes(), |key, part| keyed(&key, part));
        let signature = hex(&keyed(&key, &text));
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={signed}, Signature={signature}",
            self.id
        );
        let mut sent = vec![
            (CONTENT_TYPE, HeaderValue::from_static(FORM)),
            (HeaderName::from_static("x-amz-date"), time.parse()?),
            (AUTHORIZATION, authorization.parse()?),
        ];
        if let Some(token) = &self.token {
            sent.push((HeaderName::from_static("x-amz-security-token"), token.parse()?));
        }
        Ok(sent)
    }
}

/// The secret is not shown.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("id", &self.id).finish_non_exhaustive()
    }
}

const FORM: &str = "application/x-www-form-urlencoded";

fn hashed(text: &str) -> String {
    hex(digest(&SHA256, text.as_bytes()).as_ref())
}

fn keyed(key: &[u8], text: &str) -> Vec<u8> {
    sign(&Key::new(HMAC_SHA256, key), text.as_bytes()).as_ref().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// As in `20150830T123600Z`.
fn stamp(at: SystemTime) -> String {
    iso(at).chars().filter(|c| !matches!(c, '-' | ':')).collect()
}

/// As in `2015-08-30T12:36:00Z`.
pub(crate) fn iso(at: SystemTime) -> String {
    let seconds = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    // Years that begin in March end with the leap day: Howard Hinnant, "chrono-Compatible
    // Low-Level Date Algorithms", `civil_from_days`.
    let days = seconds / 86_400 + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year + u64::from(month <= 2);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// `post-x-www-form-urlencoded` of Amazon's test suite for Signature Version 4, and the same
    /// with a token as Amazon's library for Python signs it.
    #[test]
    fn a_request_is_signed_as_in_the_published_example() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_440_938_160);
        let example = Credentials::new("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY");
        let signature = |credentials: &Credentials| {
            let host = "example.amazonaws.com";
            let headers = credentials.sign(host, "us-east-1", "service", "Param1=value1", now);
            let headers = headers.unwrap();
            let (_, value) = headers.iter().find(|(name, _)| name == AUTHORIZATION).unwrap();
            value.to_str().unwrap().to_owned()
        };
        assert_eq!(
            signature(&example),
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
             SignedHeaders=content-type;host;x-amz-date, \
             Signature=ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a"
        );
        assert_eq!(
            signature(&example.token("TOKEN/==")),
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
             SignedHeaders=content-type;host;x-amz-date;x-amz-security-token, \
             Signature=33655dc37acb11b1694883eadbeffd0f2d09ebf681a00daf04b39fe7382b47b6"
        );
    }

    #[test]
    fn dates_are_right_around_a_leap_day() {
        let at = |seconds| stamp(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(at(0), "19700101T000000Z");
        assert_eq!(at(951_782_399), "20000228T235959Z");
        assert_eq!(at(951_782_400), "20000229T000000Z");
        assert_eq!(at(951_868_800), "20000301T000000Z");
        assert_eq!(at(1_798_761_599), "20261231T235959Z");
    }

    #[test]
    fn a_secret_is_not_shown() {
        assert!(!format!("{:?}", Credentials::new("id", "hush").token("hush")).contains("hush"));
    }
}
