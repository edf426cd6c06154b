//! An object as one stream.

use std::sync::Arc;

use super::body::Reader;
use super::fetched::{Fetched, info};
use super::held::Held;
use super::request::Request;
use crate::meter::InFlightObject;
use crate::outcome::{Class, ErrorCode, Failure, Verification};
use crate::s3::GetResponse;
use crate::sink::door::Writer;
use crate::sink::files::LocalPath;
use crate::transfer::checksum::{Expected, Verified, Verifier};
use crate::transfer::shared::Broken;

/// Reads the object that `response` holds.
pub(super) async fn fetch(
    request: &Request,
    path: &Arc<LocalPath>,
    received: &InFlightObject,
    mut response: GetResponse,
    held: Held,
) -> Result<Fetched, Broken> {
    let shared = &request.shared;
    let object = info(&mut response);
    let ends_with_connection = response.ends_with_connection;
    let expected = Expected::new(shared.options.verify, &response, &request.entry.checksums)
        .noted(shared.options.notes_checksums());
    let mut verifier = Verifier::new(expected);
    let mut reader = Reader::of_whole(request.clone(), response, held);
    let mut writer = shared.sink.stream(path);
    let mut bytes = 0;
    while let Some(chunk) = reader.next_chunk().await? {
        bytes += chunk.len() as u64;
        verifier.update(&chunk);
        received.received(chunk.len());
        writer.push(chunk).await?;
    }
    let found = verifier.finish(bytes).map_err(Broken::mismatch)?;
    let verification = match found.verification {
        _ if writer.is_folder() => Verification::Folder,
        // The end of such a body is the end of the connection, whoever ended that.
        Verification::Length | Verification::Unverified if ends_with_connection => {
            let message = "nothing tells whether the body is whole: the server states no length and no checksum that `--verify` compares";
            let code = ErrorCode::InvalidResponse;
            return Err(Failure::new(code, Class::Permanent, message).into());
        }
        verification => verification,
    };
    Ok(Fetched {
        bytes,
        object,
        verified: Verified {
            verification,
            ..found
        },
        writer: Writer::Stream(writer),
    })
}
