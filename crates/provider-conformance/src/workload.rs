//! The function that the kit deploys.

use provider_types::wire::FunctionDeployment;

/// How the test function is given to the provider.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Workload {
    /// A command that the provider runs: it is `envProcess`, and listens on `$port`.
    Process {
        /// The command, split on blanks.
        command: String,
    },
    /// An image that the provider pulls.
    Image {
        /// Where it is.
        reference: String,
    },
}

impl Workload {
    /// A deployment of the test function under this name.
    #[must_use]
    pub fn deployment(&self, name: &str) -> FunctionDeployment {
        match self {
            Self::Process { command } => {
                let mut deployment = FunctionDeployment::new(name, "conformance-function");
                deployment.env_process.clone_from(command);
                // The watchdog's word for a program that speaks HTTP itself.
                let mode = ("mode".to_owned(), "http".to_owned());
                deployment.env_vars.extend([mode]);
                deployment
            }
            Self::Image { reference } => FunctionDeployment::new(name, reference),
        }
    }
}
