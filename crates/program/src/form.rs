// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! The two serialised forms of a load request.

use crate::LoadRequest;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use serde::{Deserialize, Serialize};

/// Version of both serialised forms. A reader refuses every other one.
pub const FORMAT_VERSION: u32 = 1;

/// First bytes of the binary form.
const MAGIC: &[u8; 8] = b"VSTLOAD\0";

/// Why a serialised request cannot be read or written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum FormError {
    /// The bytes are not a request at all.
    NotARequest,
    /// Written by another version of the format.
    Version(u32),
    /// The text or the bytes are damaged; the reason names the place where it is known.
    Malformed(String),
}

impl fmt::Display for FormError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotARequest => f.write_str("not a load request"),
            Self::Version(v) => write!(
                f,
                "load request of format version {v}; this program reads version {FORMAT_VERSION}"
            ),
            Self::Malformed(why) => write!(f, "malformed load request: {why}"),
        }
    }
}

impl core::error::Error for FormError {}

#[derive(Serialize)]
struct JsonOut<'a> {
    veristable_load_request: u32,
    #[serde(flatten)]
    request: &'a LoadRequest,
}

#[derive(Deserialize)]
struct JsonVersion {
    veristable_load_request: u32,
}

impl LoadRequest {
    /// The request as one line of JSON.
    ///
    /// # Errors
    /// [`FormError::Malformed`] if the serialiser fails, which no valid request causes.
    pub fn to_json(&self) -> Result<String, FormError> {
        let out = JsonOut { veristable_load_request: FORMAT_VERSION, request: self };
        serde_json::to_string(&out).map_err(|e| FormError::Malformed(e.to_string()))
    }

    /// Reads the JSON form.
    ///
    /// # Errors
    /// [`FormError`] says what is wrong and, for JSON, in which line and column.
    pub fn from_json(text: &str) -> Result<Self, FormError> {
        let version: JsonVersion = serde_json::from_str(text).map_err(|e| {
            if e.is_data() { FormError::NotARequest } else { FormError::Malformed(e.to_string()) }
        })?;
        if version.veristable_load_request != FORMAT_VERSION {
            return Err(FormError::Version(version.veristable_load_request));
        }
        serde_json::from_str(text).map_err(|e| FormError::Malformed(e.to_string()))
    }

    /// The compact binary form: a magic, the version, then the fields in postcard's wire format.
    ///
    /// # Errors
    /// [`FormError::Malformed`] if the serialiser fails, which no valid request causes.
    pub fn to_bytes(&self) -> Result<Vec<u8>, FormError> {
        let mut out = MAGIC.to_vec();
        out.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        let body = postcard::to_allocvec(self).map_err(|e| FormError::Malformed(e.to_string()))?;
        out.extend_from_slice(&body);
        Ok(out)
    }

    /// Reads the binary form.
    ///
    /// # Errors
    /// [`FormError`] says what is wrong.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, FormError> {
        let (magic, rest) = bytes.split_first_chunk::<8>().ok_or(FormError::NotARequest)?;
        if magic != MAGIC {
            return Err(FormError::NotARequest);
        }
        let (version, body) = rest.split_first_chunk::<4>().ok_or(FormError::NotARequest)?;
        let version = u32::from_le_bytes(*version);
        if version != FORMAT_VERSION {
            return Err(FormError::Version(version));
        }
        postcard::from_bytes(body).map_err(|e| FormError::Malformed(e.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Blob, MapDesc, MapSpec};
    use alloc::sync::Arc;
    use alloc::vec;
    use veristable_isa::Insn;
    use veristable_kernel::{MapType, ProgType};

    fn sample() -> LoadRequest {
        LoadRequest {
            name: "filter".into(),
            prog_type: ProgType::SOCKET_FILTER,
            license: "GPL".into(),
            insns: vec![Insn::new(0xb7, 0, 0, 0, -1), Insn::new(0x95, 0, 0, 0, 0)],
            maps: vec![Arc::new(MapDesc {
                spec: MapSpec {
                    name: "m".into(),
                    map_type: MapType::ARRAY,
                    key_size: 4,
                    value_size: 8,
                    max_entries: 1,
                    ..MapSpec::default()
                },
                contents: Some(Blob::new(&[1u8, 2, 0xff][..])),
                frozen: true,
                ..MapDesc::default()
            })],
            btf: Some(Blob::new(&[0x9fu8, 0xeb][..])),
            ..LoadRequest::default()
        }
    }

    #[test]
    fn both_forms_round_trip() {
        let request = sample();
        assert_eq!(LoadRequest::from_json(&request.to_json().unwrap()).unwrap(), request);
        assert_eq!(LoadRequest::from_bytes(&request.to_bytes().unwrap()).unwrap(), request);
    }

    #[test]
    fn a_loader_may_leave_out_what_it_does_not_need() {
        let text = r#"{"veristable_load_request":1,"name":"p","prog_type":1,"license":"GPL",
            "insns":"b7000000000000009500000000000000"}"#;
        let request = LoadRequest::from_json(text).unwrap();
        assert_eq!(request.insns.len(), 2);
        assert_eq!(request.prog_type, ProgType::SOCKET_FILTER);
        assert!(request.capabilities.allows(crate::Capabilities::PERFMON));
    }

    #[test]
    fn other_input_is_refused() {
        let check = |text: &str, want: &str| {
            let got = LoadRequest::from_json(text).unwrap_err().to_string();
            assert!(got.contains(want), "{text}: {got}");
        };
        check("{}", "not a load request");
        check(r#"{"veristable_load_request":2}"#, "format version 2");
        check(r#"{"veristable_load_request":1}"#, "missing field");
        check("{", "EOF");
        check(
            r#"{"veristable_load_request":1,"name":"","prog_type":1,"license":"","insns":"b7"}"#,
            "multiple of 8",
        );
        let bytes = sample().to_bytes().unwrap();
        for end in 0..bytes.len() {
            assert!(LoadRequest::from_bytes(&bytes[..end]).is_err(), "cut at {end}");
        }
    }
}
