//! A backup as bytes.

use std::io::{self, Read, Write};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use provider_types::wire::FunctionNamespace;
use provider_types::{Namespace, SecretName};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::BackupError;
use crate::store::{Desired, FunctionRecord, StoredFunction};

const WHAT: &str = "provider-state";
const VERSION: u64 = 1;

/// The first line.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Header {
    backup: String,
    version: u64,
    generation: u64,
    namespaces: usize,
    secrets: usize,
    functions: usize,
}

/// As much of the first line as every version has.
#[derive(Deserialize)]
struct AnyHeader {
    backup: String,
    version: u64,
}

/// The lines between the first and the last.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
enum Line {
    Namespace(FunctionNamespace),
    Secret(Secret),
    Function(Box<StoredFunction>),
}

#[derive(Serialize, Deserialize)]
struct Secret {
    namespace: String,
    name: String,
    value: String,
}

/// The last line.
#[derive(Serialize, Deserialize)]
struct Checksum {
    sha256: String,
}

impl Header {
    fn of(desired: &Desired) -> Self {
        Self {
            backup: WHAT.to_owned(),
            version: VERSION,
            generation: desired.generation,
            namespaces: desired.namespaces.len(),
            secrets: desired.secrets.len(),
            functions: desired.functions.len(),
        }
    }
}

/// Writes lines, and sums them up.
struct Summed<W> {
    output: W,
    digest: Sha256,
}

impl<W: Write> Summed<W> {
    fn line(&mut self, line: &impl Serialize) -> io::Result<()> {
        let mut bytes = serde_json::to_vec(line)?;
        bytes.push(b'\n');
        self.digest.update(&bytes);
        self.output.write_all(&bytes)
    }
}

pub(super) fn write(desired: &Desired, output: impl Write) -> io::Result<()> {
    let mut file = Summed {
        output,
        digest: Sha256::new(),
    };
    file.line(&Header::of(desired))?;
    for namespace in desired.namespaces.values() {
        file.line(&Line::Namespace(namespace.clone()))?;
    }
    for ((namespace, name), value) in &desired.secrets {
        file.line(&Line::Secret(Secret {
            namespace: namespace.to_string(),
            name: name.to_string(),
            value: STANDARD.encode(value),
        }))?;
    }
    for function in desired.functions.values() {
        file.line(&Line::Function(Box::new(function.to_stored())))?;
    }
    let sha256 = hex(file.digest.clone());
    file.line(&Checksum { sha256 })?;
    file.output.flush()
}

pub(super) fn read(mut input: impl Read) -> Result<Desired, BackupError> {
    let mut bytes = Vec::new();
    input.read_to_end(&mut bytes)?;
    let first = bytes.split(|byte| *byte == b'\n').next();
    let header: AnyHeader =
        serde_json::from_slice(first.unwrap_or_default()).map_err(|_| BackupError::Foreign)?;
    if header.backup != WHAT {
        return Err(BackupError::Foreign);
    }
    if header.version > VERSION {
        return Err(BackupError::Newer {
            found: header.version,
            known: VERSION,
        });
    }
    let lines = summed(&bytes)?;
    let mut lines = lines.split_inclusive(|byte| *byte == b'\n').enumerate();
    let wrong = |at: usize| {
        move |source: Box<dyn std::error::Error + Send + Sync>| BackupError::Line {
            line: at + 1,
            source,
        }
    };
    let first = lines.next().map_or(&[][..], |(_, line)| line);
    let header: Header = serde_json::from_slice(first).map_err(|error| wrong(0)(error.into()))?;
    let mut desired = Desired {
        generation: header.generation,
        ..Desired::default()
    };
    for (at, line) in lines {
        take(line, &mut desired).map_err(wrong(at))?;
    }
    let found = Header::of(&desired);
    if found != header {
        let said = |header: &Header| {
            let Header {
                namespaces,
                secrets,
                functions,
                ..
            } = header;
            format!("{functions} functions, {secrets} secrets, {namespaces} namespaces")
        };
        return Err(BackupError::Counts {
            found: said(&found),
            said: said(&header),
        });
    }
    Ok(desired)
}

/// The lines before the last one, whose sum that is.
fn summed(bytes: &[u8]) -> Result<&[u8], BackupError> {
    let whole = bytes.strip_suffix(b"\n").ok_or(BackupError::EndsEarly)?;
    let before = whole.iter().rposition(|byte| *byte == b'\n');
    let (lines, last) = whole.split_at(before.map_or(0, |at| at + 1));
    let Checksum { sha256 } = serde_json::from_slice(last).map_err(|_| BackupError::EndsEarly)?;
    if sha256 == hex(Sha256::new_with_prefix(lines)) {
        Ok(lines)
    } else {
        Err(BackupError::Checksum)
    }
}

fn take(
    line: &[u8],
    desired: &mut Desired,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    match serde_json::from_slice(line)? {
        Line::Namespace(namespace) => {
            let name = Namespace::new(&namespace.name)?;
            desired.namespaces.insert(name, namespace);
        }
        Line::Secret(secret) => {
            let namespace = Namespace::new(&secret.namespace)?;
            let name = SecretName::new(&secret.name)?;
            let value = STANDARD.decode(secret.value)?;
            desired.secrets.insert((namespace, name), value.into());
        }
        Line::Function(function) => {
            let record = FunctionRecord::from_stored(*function)?;
            let name = record.spec.function.clone();
            desired.functions.insert(name, Arc::new(record));
        }
    }
    Ok(())
}

fn hex(digest: Sha256) -> String {
    let bytes = digest.finalize();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
