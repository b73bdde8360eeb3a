//! Who a provider is.

use super::codec::wire_struct;

wire_struct! {
    /// `GET /system/info` of a provider. `faas-provider`: types/requests.go.
    #[derive(Debug, Eq)]
    ProviderInfo {
        /// The provider's name.
        #[doc(alias = "Name")]
        provider: String = "provider",
        /// Its version; `None` is written `null`, on which some clients fail.
        version: Option<VersionInfo> = "version",
        /// What it runs functions on.
        orchestration: String = "orchestration",
    }
}

impl ProviderInfo {
    /// Who a provider is.
    pub fn new(
        provider: impl Into<String>,
        orchestration: impl Into<String>,
        version: VersionInfo,
    ) -> Self {
        Self {
            provider: provider.into(),
            version: Some(version),
            orchestration: orchestration.into(),
        }
    }
}

wire_struct! {
    /// A version. `faas-provider`: types/requests.go.
    #[derive(Debug, Eq)]
    VersionInfo {
        /// The commit's message.
        commit_message: String = "commit_message" omitempty,
        /// The commit.
        sha: String = "sha",
        /// The release.
        release: String = "release",
    }
}

impl VersionInfo {
    /// A version.
    pub fn new(release: impl Into<String>, sha: impl Into<String>) -> Self {
        Self {
            commit_message: String::new(),
            sha: sha.into(),
            release: release.into(),
        }
    }
}

wire_struct! {
    /// `GET /system/info` as a gateway answers it, and as clients of gateways expect it.
    #[derive(Debug, Eq)]
    GatewayInfo {
        /// The provider behind the gateway.
        provider: Option<ProviderInfo> = "provider",
        /// The gateway's version.
        version: Option<VersionInfo> = "version",
        /// The architecture it runs on, as Go names it: `x86_64` or `arm64`.
        arch: String = "arch",
    }
}

impl GatewayInfo {
    /// A gateway and its provider.
    pub fn new(provider: ProviderInfo, version: VersionInfo, arch: impl Into<String>) -> Self {
        Self {
            provider: Some(provider),
            version: Some(version),
            arch: arch.into(),
        }
    }
}
