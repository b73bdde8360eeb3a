//! The image of the test function, written without a container engine.
//!
//! One layer with one static program, as the OCI image specification (version 1.1) has it: a
//! layer, a config, a manifest, an index. Nothing in it depends on the time or on this machine:
//! the same program gives the same digests.

mod archive;
mod program;
mod registry;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

pub use program::ProgramError;
pub use registry::ImageRegistry;

use archive::Archive;

const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// Where the program is in the image.
const PROGRAM: &str = "provider-conformance";
/// Nobody in particular, and not root.
const USER: &str = "65532:65532";
/// The tag of the only image.
const TAG: &str = "latest";

/// The image of the test function.
///
/// ```no_run
/// use provider_conformance::{FunctionImage, ImageRegistry};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let program = std::fs::read("provider-conformance")?;
/// let image = FunctionImage::of(&program)?;
/// image.write_layout("image".as_ref())?;
///
/// let registry = ImageRegistry::bind("127.0.0.1:5000".parse()?, image).await?;
/// println!("pull {}", registry.reference());
/// registry.serve(std::future::pending()).await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct FunctionImage {
    /// All contents by their digest.
    blobs: BTreeMap<String, Blob>,
    /// The digest of the index.
    index: String,
    /// The digest of the manifest.
    manifest: String,
}

/// A content, and what it is.
#[derive(Debug, Clone)]
struct Blob {
    media_type: &'static str,
    bytes: Vec<u8>,
}

impl FunctionImage {
    /// An image around that program, the kit's own binary as a rule.
    ///
    /// # Errors
    /// [`ProgramError`] where it is no static program for Linux.
    pub fn of(program: &[u8]) -> Result<Self, ProgramError> {
        let architecture = program::architecture(program)?;
        let mut image = Self {
            blobs: BTreeMap::new(),
            index: String::new(),
            manifest: String::new(),
        };

        let mut archive = Archive::new();
        archive.directory("tmp", 0o1777);
        archive.file(PROGRAM, 0o755, program);
        let layer = image.add(LAYER, archive.finish());

        let layer_digest = layer.get("digest").cloned();
        let config = image.add_json(
            CONFIG,
            &json!({
                "architecture": architecture,
                "os": "linux",
                "config": {
                    "User": USER,
                    "ExposedPorts": {"8080/tcp": {}},
                    "Entrypoint": [format!("/{PROGRAM}"), "function"],
                    "WorkingDir": "/",
                },
                "rootfs": {"type": "layers", "diff_ids": [layer_digest]},
                "history": [{"created_by": "provider-conformance image"}],
            }),
        );
        let mut manifest = image.add_json(
            MANIFEST,
            &json!({
                "schemaVersion": 2,
                "mediaType": MANIFEST,
                "config": config,
                "layers": [layer],
            }),
        );
        image.manifest = digest_of(&manifest);
        if let Some(fields) = manifest.as_object_mut() {
            let platform = json!({"architecture": architecture, "os": "linux"});
            fields.insert("platform".to_owned(), platform);
            let name = json!({"org.opencontainers.image.ref.name": TAG});
            fields.insert("annotations".to_owned(), name);
        }
        let index = image.add_json(
            INDEX,
            &json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [manifest]}),
        );
        image.index = digest_of(&index);
        Ok(image)
    }

    /// The digest of its manifest, `sha256:` and 64 digits.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.manifest
    }

    /// Writes it as an OCI image layout into that directory, which is made where it is absent.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn write_layout(&self, directory: &Path) -> io::Result<()> {
        let blobs = directory.join("blobs/sha256");
        std::fs::create_dir_all(&blobs)?;
        for (digest, blob) in &self.blobs {
            let name = digest.trim_start_matches("sha256:");
            std::fs::write(blobs.join(name), &blob.bytes)?;
        }
        if let Some(index) = self.blobs.get(&self.index) {
            std::fs::write(directory.join("index.json"), &index.bytes)?;
        }
        // Last: with it, it is a layout.
        let version = json!({"imageLayoutVersion": "1.0.0"}).to_string();
        std::fs::write(directory.join("oci-layout"), version)
    }

    /// Adds a content, and describes it.
    fn add(&mut self, media_type: &'static str, bytes: Vec<u8>) -> Value {
        let digest = format!("sha256:{}", crate::function::hex(&Sha256::digest(&bytes)));
        let size = bytes.len();
        let blob = Blob { media_type, bytes };
        self.blobs.insert(digest.clone(), blob);
        json!({"mediaType": media_type, "digest": digest, "size": size})
    }

    fn add_json(&mut self, media_type: &'static str, value: &Value) -> Value {
        self.add(media_type, value.to_string().into_bytes())
    }
}

/// The digest in a description.
fn digest_of(description: &Value) -> String {
    let digest = description.get("digest").and_then(Value::as_str);
    digest.unwrap_or_default().to_owned()
}
