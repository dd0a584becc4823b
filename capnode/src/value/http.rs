//! Conversions between JavaScript's requests and responses and those of the crate `http`.

use std::fmt::Display;

use hyper::StatusCode;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};

use super::{Body, Bytes, Headers, Request, Response};
use crate::error::{Error, ErrorKind};
use crate::interface::stream::Reader;

/// No bytes are no body, which is all that JavaScript allows a `GET`.
impl From<Bytes> for Option<Body> {
    fn from(bytes: Bytes) -> Self {
        (!bytes.is_empty()).then(|| bytes.into())
    }
}

impl From<Reader<Bytes>> for Option<Body> {
    fn from(reader: Reader<Bytes>) -> Self {
        Some(reader.into())
    }
}

/// Each byte of a value is a character, as in JavaScript.
fn from_map(headers: &HeaderMap) -> Headers {
    let text = |value: &HeaderValue| value.as_bytes().iter().copied().map(char::from).collect::<String>();
    headers.iter().map(|(name, value)| (name, text(value))).collect()
}

fn to_map(headers: &Headers) -> Result<HeaderMap, Error> {
    let mut map = HeaderMap::new();
    for (name, value) in headers.iter() {
        let name = HeaderName::try_from(name).map_err(misfit)?;
        let bytes: Result<Vec<u8>, _> = value.chars().map(u8::try_from).collect();
        map.append(name, HeaderValue::try_from(bytes.map_err(misfit)?).map_err(misfit)?);
    }
    Ok(map)
}

fn misfit(error: impl Display) -> Error {
    Error::new(ErrorKind::Decode, error.to_string())
}

/// The version and the extensions are left out.
impl<B: Into<Option<Body>>> From<hyper::Request<B>> for Request {
    fn from(request: hyper::Request<B>) -> Self {
        let (head, body) = request.into_parts();
        let request = Self::new(head.method.as_str(), head.uri.to_string());
        Self { headers: from_map(&head.headers), body: body.into(), ..request }
    }
}

/// The options are left out. Fails if the method, the URL or a header is not one of HTTP.
impl TryFrom<Request> for hyper::Request<Option<Body>> {
    type Error = Error;

    fn try_from(request: Request) -> Result<Self, Error> {
        let mut out = Self::new(request.body);
        *out.method_mut() = request.method.parse().map_err(misfit)?;
        *out.uri_mut() = request.url.parse().map_err(misfit)?;
        *out.headers_mut() = to_map(&request.headers)?;
        Ok(out)
    }
}

/// The version and the extensions are left out.
impl<B: Into<Option<Body>>> From<hyper::Response<B>> for Response {
    fn from(response: hyper::Response<B>) -> Self {
        let (head, body) = response.into_parts();
        let response = Self::new(head.status.as_u16());
        Self { headers: from_map(&head.headers), body: body.into(), ..response }
    }
}

/// The text of the status and the options are left out. Fails if the status or a header is not one of HTTP.
impl TryFrom<Response> for hyper::Response<Option<Body>> {
    type Error = Error;

    fn try_from(response: Response) -> Result<Self, Error> {
        let mut out = Self::new(response.body);
        *out.status_mut() = StatusCode::from_u16(response.status).map_err(misfit)?;
        *out.headers_mut() = to_map(&response.headers)?;
        Ok(out)
    }
}
