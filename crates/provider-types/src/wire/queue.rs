//! A call that waits in a queue, as a gateway hands it to a queue worker.

use std::collections::BTreeMap;

use super::codec::{Scalar, wire_struct};

wire_struct! {
    /// An invocation to be made later. `faas-provider`: types/queue.go.
    #[derive(Debug, Eq)]
    QueueRequest {
        /// Header lines of the request, by canonical name.
        header: BTreeMap<String, Vec<String>> = "Header" omitempty,
        /// The host that the client asked for.
        host: String = "Host" omitempty,
        /// The body, base64 on the wire.
        body: Vec<u8> = "Body" omitempty,
        /// The method.
        method: String = "Method",
        /// What follows the function's name in the path.
        path: String = "Path" omitempty,
        /// The query, without `?`.
        query_string: String = "QueryString" omitempty,
        /// The function, `NAME` or `NAME.NAMESPACE`.
        function: String = "Function",
        /// The queue; empty is the default one.
        queue_name: String = "QueueName" omitempty,
        /// Some of the function's annotations.
        annotations: BTreeMap<String, String> = "Annotations" omitempty,
        /// Some of the function's labels.
        labels: BTreeMap<String, String> = "Labels" omitempty,
        /// Some of the function's environment.
        environment: BTreeMap<String, String> = "Environment" omitempty,
        /// Where the result goes.
        callback_url: Option<CallbackUrl> = "CallbackUrl" omitempty,
    }
}

impl QueueRequest {
    /// A call of a function with that method.
    pub fn new(method: impl Into<String>, function: impl Into<String>) -> Self {
        Self {
            method: method.into(),
            function: function.into(),
            ..Self::default()
        }
    }
}

wire_struct! {
    /// A URL in the form that Go's `url.URL` has on the wire: an object of its parts, all of them
    /// always written. A plain string is read as well.
    ///
    /// ```
    /// use provider_types::wire::CallbackUrl;
    ///
    /// let url = CallbackUrl::parse("http://worker:8080/done%2F1?id=7").unwrap();
    /// assert_eq!((url.host.as_str(), url.path.as_str()), ("worker:8080", "/done/1"));
    /// assert_eq!(url.to_string(), "http://worker:8080/done%2F1?id=7");
    /// ```
    #[derive(Debug, Eq)]
    #[doc(alias = "URL")]
    CallbackUrl {
        /// `http` or `https`.
        scheme: String = "Scheme",
        /// What follows the scheme where it is not `//`.
        opaque: String = "Opaque",
        /// Whether there were credentials. The wire does not carry them.
        user: Option<Userinfo> = "User",
        /// The host, with its port if one was given.
        host: String = "Host",
        /// The path, decoded.
        path: String = "Path",
        /// The fragment, decoded.
        fragment: String = "Fragment",
        /// The query, without `?`.
        raw_query: String = "RawQuery",
        /// The path as it was encoded, where it is not encoded as Go would do it.
        raw_path: String = "RawPath",
        /// The fragment as it was encoded, where it is not encoded as Go would do it.
        raw_fragment: String = "RawFragment",
        /// Whether a `?` stands even before an empty query.
        force_query: bool = "ForceQuery",
        /// Whether `//` is left out before an empty host.
        omit_host: bool = "OmitHost",
    }
    read_text = CallbackUrl::read_text
}

impl CallbackUrl {
    fn read_text(given: Scalar<'_>) -> Result<Self, &'static str> {
        match given {
            Scalar::Text(text) => Self::parse(text).ok_or("a string that is no URL"),
            other => Err(other.kind()),
        }
    }
}

wire_struct! {
    /// That a [`CallbackUrl`] had credentials; Go writes an empty object for them.
    #[derive(Debug, Eq)]
    Userinfo {}
}
