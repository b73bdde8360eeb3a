//! Events that platforms publish, and the alert that a Prometheus sends to have a function scaled.

use std::time::SystemTime;

use super::codec::wire_struct;

wire_struct! {
    /// What one invocation used. `faas-provider`: types/system_events.go.
    #[derive(Debug, Eq)]
    FunctionUsageEvent {
        /// The function's namespace.
        namespace: String = "namespace",
        /// The function's name.
        function_name: String = "function_name",
        /// When the invocation started; `None` is Go's zero time.
        started: Option<SystemTime> = "started",
        /// How long it took, in nanoseconds.
        duration: i64 = "duration",
        /// Bytes of memory.
        memory_bytes: i64 = "memory_bytes",
    }
}

impl FunctionUsageEvent {
    /// The name under which the event is published (`TypeFunctionUsage`).
    pub const TYPE: &'static str = "function_usage";
}

wire_struct! {
    /// A call of the management API. `faas-provider`: types/system_events.go.
    #[derive(Debug, Eq)]
    #[doc(alias = "APIAccessEvent")]
    ApiAccessEvent {
        /// Who called.
        actor: Option<Actor> = "actor" omitempty,
        /// The path.
        path: String = "path",
        /// The method.
        method: String = "method",
        /// What the caller asked to do; `None` is written `null`.
        actions: Option<Vec<String>> = "actions",
        /// The status of the reply.
        response_code: i64 = "response_code",
        /// What else there is to say.
        custom_message: String = "custom_message" omitempty,
        /// The namespace that was named.
        namespace: String = "namespace" omitempty,
        /// When; `None` is Go's zero time.
        time: Option<SystemTime> = "time",
    }
}

impl ApiAccessEvent {
    /// The name under which the event is published (`TypeAPIAccess`).
    pub const TYPE: &'static str = "api_access";
}

wire_struct! {
    /// Who caused an event, in the terms of OpenID Connect.
    #[derive(Debug, Eq)]
    Actor {
        /// The subject: a unique identifier.
        sub: String = "sub",
        /// The full name of a person, or the name of a component.
        name: String = "name" omitempty,
        /// Who issued the token.
        issuer: String = "issuer" omitempty,
        /// Who vouched for the subject to the issuer.
        fed_issuer: String = "fed_issuer" omitempty,
    }
}

wire_struct! {
    /// What an Alertmanager posts to a gateway's `/system/alert`.
    #[derive(Debug, Eq)]
    PrometheusAlert {
        /// `firing` or `resolved`.
        status: String = "status",
        /// The receiver's name in the Alertmanager's configuration.
        receiver: String = "receiver",
        /// The alerts.
        alerts: Vec<Alert> = "alerts",
    }
}

wire_struct! {
    /// One alert of a [`PrometheusAlert`].
    #[derive(Debug, Eq)]
    Alert {
        /// `firing` or `resolved`.
        status: String = "status",
        /// What it is about.
        labels: AlertLabels = "labels",
    }
}

wire_struct! {
    /// What an [`Alert`] is about.
    #[derive(Debug, Eq)]
    AlertLabels {
        /// The rule that fired.
        alertname: String = "alertname",
        /// The function, `NAME.NAMESPACE`.
        function_name: String = "function_name",
    }
}
