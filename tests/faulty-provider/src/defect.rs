//! What can be wrong with the provider, and the requirement that must find each.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};

macro_rules! defects {
    ($($name:ident: $id:literal, $what:literal;)+) => {
        /// Something that is wrong with the provider, once it is switched on.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Defect {
            $(#[doc = $what] $name,)+
        }

        impl Defect {
            /// All of them, in the order of the specification.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The id of the requirement that must find it.
            #[must_use]
            pub const fn found_by(self) -> &'static str {
                match self {
                    $(Self::$name => $id,)+
                }
            }

            /// What the provider does, in a sentence.
            #[must_use]
            pub const fn about(self) -> &'static str {
                match self {
                    $(Self::$name => $what,)+
                }
            }
        }

        impl FromStr for Defect {
            type Err = String;

            fn from_str(name: &str) -> Result<Self, String> {
                match name {
                    $(stringify!($name) => Ok(Self::$name),)+
                    _ => Err(format!("there is no defect {name:?}")),
                }
            }
        }
    };
}

impl Defect {
    /// Other MUSTs that cannot hold where this one's does not.
    #[must_use]
    pub const fn falls_along(self) -> &'static [&'static str] {
        match self {
            // The answer that is no HTTP is the one to a method that is not there.
            Self::AnswerTooShort | Self::AnswerTooLong | Self::BrokenHeaderLine => &["OFP-GEN-012"],
            // The interim head states a length, as only a final one may.
            Self::InterimIsFinal => &["OFP-GEN-016"],
            // Nobody is served any more, other hostile requests neither.
            Self::HostileInputStops => &[
                "OFP-HRD-001",
                "OFP-HRD-002",
                "OFP-HRD-003",
                "OFP-HRD-004",
                "OFP-HRD-005",
                "OFP-HRD-006",
                "OFP-HRD-007",
                "OFP-HRD-008",
                "OFP-HRD-009",
                "OFP-HRD-010",
                "OFP-HRD-011",
                "OFP-HRD-012",
            ],
            // Every secret is read with it.
            Self::RawValueRefused | Self::SecretNewline => &["OFP-SEC-009"],
            _ => &[],
        }
    }
}

impl fmt::Display for Defect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// The defects that are switched on.
#[derive(Debug, Default)]
pub(crate) struct Switches(Mutex<BTreeSet<Defect>>);

impl Switches {
    pub(crate) fn set(&self, defect: Defect, on: bool) {
        let mut switched = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if on {
            switched.insert(defect);
        } else {
            switched.remove(&defect);
        }
    }

    pub(crate) fn has(&self, defect: Defect) -> bool {
        let switched = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        switched.contains(&defect)
    }
}

defects! {
    // The API in general.
    ChunkedBodyRefused: "OFP-GEN-001", "A chunked body is answered with 411.";
    ChunkedDeleteIgnored: "OFP-GEN-001", "The chunked body of a DELETE is taken for an empty one.";
    ContentTypeNeeded: "OFP-GEN-002", "A JSON body without Content-Type is answered with 415.";
    UnknownMembersRefused: "OFP-GEN-003", "A member that is not known is answered with 400.";
    NullRefused: "OFP-GEN-004", "A member that is null is answered with 400.";
    BadBodyIs500: "OFP-GEN-005", "A body that is not JSON is answered with 500.";
    BadBodyAccepted: "OFP-GEN-005", "A body that is not JSON is answered with 202.";
    WrongTypesAccepted: "OFP-GEN-005", "Members of the wrong type are taken as if they were absent.";
    UnknownPathIs200: "OFP-GEN-011", "A path that is not there is answered with 200.";
    WrongMethodIs200: "OFP-GEN-012", "A method that a path does not have is answered with 200.";
    UnknownQueryRefused: "OFP-GEN-014", "A key of a query that is not known is answered with 400.";
    AnswerTooShort: "OFP-GEN-016", "Answers of 405 state one byte more than they have.";
    AnswerTooLong: "OFP-GEN-016", "Answers of 405 state one byte less than they have.";
    BrokenHeaderLine: "OFP-GEN-016", "Answers of 405 have a header line without a colon.";
    PipelinedSwapped: "OFP-GEN-017", "Of two requests that come at once the second is answered first.";
    PipelinedDropped: "OFP-GEN-017", "What came together with a request is thrown away.";
    AbsoluteFormRefused: "OFP-GEN-018", "A target in absolute form is answered with 404.";
    ExpectIgnored: "OFP-GEN-020", "The API waits for a body that its client holds back.";
    AsciiOnly: "OFP-GEN-021", "Characters outside ASCII come back as question marks.";
    Latin1: "OFP-GEN-021", "JSON answers are ISO 8859-1.";

    // Information and health.
    InfoIs202: "OFP-INF-001", "The information is answered with 202.";
    InfoIsArray: "OFP-INF-001", "The information is an array.";
    NoProviderName: "OFP-INF-002", "`provider` is empty.";
    NoVersion: "OFP-INF-003", "`version` is null.";
    NoOrchestration: "OFP-INF-005", "`orchestration` is absent.";
    Unhealthy: "OFP-INF-006", "The health check is answered with 503.";

    // Functions.
    DeployIs201: "OFP-FUN-001", "A deployment is answered with 201.";
    NotListed: "OFP-FUN-003", "A function that is deployed never stands in the list.";
    NeverAvailable: "OFP-FUN-005", "`availableReplicas` is never there.";
    AvailableTooSoon: "OFP-FUN-006", "`availableReplicas` counts replicas that do not answer yet.";
    NamelessAccepted: "OFP-FUN-007", "A deployment without a name is answered with 202.";
    ExistingOverwritten: "OFP-FUN-009", "A deployment of a name that exists replaces the function.";
    BadQuantityIsZero: "OFP-FUN-010", "A quantity that is none counts as no limit.";
    EnvCutAtEquals: "OFP-FUN-012", "Values of variables reach the function up to their second `=`.";
    EnvTrimmed: "OFP-FUN-012", "Values of variables are trimmed.";
    EnvEmptyDropped: "OFP-FUN-012", "Variables with an empty value do not reach the function.";
    EnvCut: "OFP-FUN-012", "Values of variables are cut after 4 KiB.";
    EnvAscii: "OFP-FUN-012", "Values of variables lose characters outside ASCII.";
    FprocessLost: "OFP-FUN-013", "`fprocess` among the variables does nothing.";
    UpdateCreates: "OFP-FUN-014", "An update of a function that is not there deploys it.";
    UpdateOfNothingIs400: "OFP-FUN-014", "An update of a function that is not there is answered with 400.";
    UpdateIs201: "OFP-FUN-015", "An update is answered with 201.";
    UpdateMerges: "OFP-FUN-016", "A status keeps labels and variables that an update does not have.";
    UpdateKeepsOld: "OFP-FUN-017", "An update changes the status alone.";
    BadUpdateIs200: "OFP-FUN-018", "An update that is refused is answered with 200.";
    BadUpdateRuns: "OFP-FUN-019", "An update that is refused is carried out.";
    BadUpdateRemoves: "OFP-FUN-019", "An update that is refused removes the function.";
    SameUpdateIs409: "OFP-FUN-021", "An update that changes nothing is answered with 409.";
    DeleteIs204: "OFP-FUN-022", "A deletion is answered with 204.";
    DeletedListed: "OFP-FUN-023", "A deleted function stays in the list.";
    DeletedHasStatus: "OFP-FUN-023", "A deleted function keeps its status.";
    DeletedAnswers: "OFP-FUN-024", "A deleted function answers calls.";
    DeleteOfNothingIs200: "OFP-FUN-025", "A deletion of a function that is not there is answered with 200.";
    NameStaysTaken: "OFP-FUN-027", "The name of a deleted function cannot be deployed again.";
    ListIsObject: "OFP-FUN-029", "The list of functions is an object that holds it.";
    NoNamespaceInList: "OFP-FUN-031", "Entries of the list have no namespace.";
    NoReplicasInList: "OFP-FUN-033", "Entries of the list have no `replicas`.";
    StatusIs203: "OFP-FUN-035", "A status is answered with 203.";
    NoStatusIs200: "OFP-FUN-036", "A function that is not there has a status of no replicas.";
    ReplicasAreText: "OFP-FUN-037", "Numbers of replicas are text.";
    CreatedIsNumber: "OFP-FUN-037", "`createdAt` is seconds since 1970.";
    NoImage: "OFP-FUN-038", "A status has no image.";
    NoReplicas: "OFP-FUN-039", "A status has no `replicas`.";
    LabelsCut: "OFP-FUN-040", "A function keeps 64 labels.";
    LabelsLower: "OFP-FUN-040", "Values of labels come back in lower case.";
    AnnotationsOneLine: "OFP-FUN-041", "Annotations come back with blanks for line ends.";
    EnvShownCut: "OFP-FUN-043", "A status shows the values of variables up to their second `=`.";
    UsageFalseIs404: "OFP-FUN-048", "`usage=false` is answered with 404.";
    RacedTwice: "OFP-FUN-053", "Deployments of one name at the same time are listed each.";

    // Calling functions.
    BarePathRedirected: "OFP-INV-001", "A call without a path is redirected to one with a slash.";
    SlashTrimmed: "OFP-INV-002", "A slash at the end of a path is left out.";
    PathDropped: "OFP-INV-002", "Every call reaches the function at `/`.";
    QueryDropped: "OFP-INV-003", "The query does not reach the function.";
    QueryDecoded: "OFP-INV-003", "The query reaches the function decoded and encoded again.";
    PathDecoded: "OFP-INV-004", "The path reaches the function decoded and encoded again.";
    NewlineIs404: "OFP-INV-005", "A path with an encoded newline is answered with 404.";
    PatchIs405: "OFP-INV-006", "PATCH is answered with 405.";
    DeleteIsPost: "OFP-INV-006", "DELETE reaches the function as POST.";
    HeadHasBody: "OFP-INV-007", "HEAD is answered with a body.";
    BodyCut: "OFP-INV-010", "A body reaches the function up to 64 KiB of it.";
    BodyAsText: "OFP-INV-010", "A body reaches the function as UTF-8, whatever it was.";
    ChunkedCallDropped: "OFP-INV-011", "A chunked body does not reach the function.";
    LengthDropped: "OFP-INV-012", "A body of stated length reaches the function chunked.";
    AuthorizationDropped: "OFP-INV-014", "`Authorization` does not reach the function.";
    RepeatedDropped: "OFP-INV-014", "Of a repeated header the last value reaches the function.";
    EmptyHeaderDropped: "OFP-INV-014", "A header without a value does not reach the function.";
    HopByHopForwarded: "OFP-INV-015", "`Connection` and what it names reach the function.";
    KeepAliveForwarded: "OFP-INV-016", "`Keep-Alive` and its like reach the function.";
    GzipAsked: "OFP-INV-017", "`Accept-Encoding: gzip` is added to every call.";
    ForwardedWithPort: "OFP-INV-019", "`X-Forwarded-For` has the port of the peer, or what the caller wrote alone.";
    StatusMapped: "OFP-INV-020", "A status of the function from 400 on becomes 500.";
    TeapotIs500: "OFP-INV-020", "A status that is not registered becomes 500.";
    RedirectFollowed: "OFP-INV-021", "A redirect of the function is followed.";
    SetCookieOnce: "OFP-INV-022", "Of several `Set-Cookie` the last reaches the caller.";
    ReplyHeadersTwice: "OFP-INV-022", "Headers of the reply reach the caller twice.";
    ReplyHopByHop: "OFP-INV-023", "`Connection` of the reply and what it names reach the caller.";
    ReplyKeepAlive: "OFP-INV-024", "`Keep-Alive` of the reply reaches the caller.";
    ReplyCut: "OFP-INV-025", "Replies are cut after 4 MiB.";
    ReplyToCloseLost: "OFP-INV-025", "A reply that ends with its connection reaches the caller empty.";
    NoContentHasBody: "OFP-INV-027", "A reply of 204 reaches the caller with chunks.";
    GzipUnpacked: "OFP-INV-028", "A packed reply loses its `Content-Encoding`.";
    UnknownFunctionIs200: "OFP-INV-030", "A call of a function that is not there is answered with 200.";
    UnmarkedError: "OFP-INV-032", "Errors of the provider have no mark.";
    ClosedIs200: "OFP-INV-034", "A function that closes the connection gives 200.";
    ClosedIs200ForStreams: "OFP-INV-035", "A function that closes the connection gives 200 to `Accept: text/event-stream`.";
    GarbageIs200: "OFP-INV-037", "A reply that is no HTTP is passed on as a body.";
    BreakEndsCleanly: "OFP-INV-038", "A chunked reply that breaks off ends as if it were whole.";
    ShortIsFilled: "OFP-INV-039", "A reply that is too short is filled up with zeros.";
    PostRetried: "OFP-INV-040", "A POST that got no reply is sent again.";
    GetRetried: "OFP-INV-041", "A GET that got no reply is sent again.";
    StalePool: "OFP-INV-042", "A connection that the function has closed is used, and gives 500.";
    RepliesMixed: "OFP-INV-043", "Calls at the same time get the reply to one of them.";
    CallExpectIgnored: "OFP-INV-044", "A call waits for a body that its caller holds back.";
    InterimIsFinal: "OFP-INV-045", "An interim reply of the function is taken for its reply.";
    NamelessCallIs200: "OFP-INV-049", "A call without a name is answered with 200.";
    NamesByPrefix: "OFP-INV-050", "A call reaches the first function whose name begins like that.";
    NamesBySuffix: "OFP-INV-050", "A call reaches the first function whose name ends like that.";
    TimeoutCloses: "OFP-INV-051", "A call that takes too long has its connection closed.";
    TimeoutIsTotal: "OFP-INV-053", "The time limit cuts replies that go on.";

    // Streaming.
    StreamHeldBack: "OFP-STR-001", "Replies are held back until their end.";
    StreamOneBehind: "OFP-STR-001", "A piece of a reply is held back until the next one comes.";
    OnlyEventStreams: "OFP-STR-002", "Replies are held back until their end unless `Accept` names a stream.";
    StreamNeverEnds: "OFP-STR-006", "The end of a chunked reply is not passed on.";
    StreamBreakEndsCleanly: "OFP-STR-007", "With `Accept: text/event-stream` a reply that breaks off ends as if it were whole.";
    SmallPiecesLost: "OFP-STR-012", "Pieces of one byte are lost.";
    PiecesSwapped: "OFP-STR-012", "Pieces of a reply change places.";

    // Upgraded connections.
    UpgradeRefused: "OFP-UPG-001", "`Upgrade` does not reach the function.";
    TunnelOneWay: "OFP-UPG-001", "What the caller sends into a tunnel does not arrive.";
    HandshakeLost: "OFP-UPG-002", "`Sec-WebSocket-*` headers are not passed on.";
    SubprotocolLost: "OFP-UPG-002", "`Sec-WebSocket-Protocol` of a reply is not passed on.";
    UpgradeHeaderLost: "OFP-UPG-002", "A reply of 101 has no `Upgrade`.";
    UpgradeCaseMatters: "OFP-UPG-003", "`Upgrade: WebSocket` is not taken for `websocket`.";
    UpgradeOrNothing: "OFP-UPG-005", "A reply other than 101 to a call with `Upgrade` becomes 502.";
    TunnelStaysOpen: "OFP-UPG-006", "A tunnel stays open for one side when the other closes it.";

    // Scaling.
    ScaleIs201: "OFP-SCL-001", "Scaling is answered with 201.";
    ScaleNeedsNamespace: "OFP-SCL-002", "Scaling without a namespace is answered with 400.";
    ScaleOfNothingIs500: "OFP-SCL-003", "Scaling a function that is not there is answered with 500.";
    ScaleByBody: "OFP-SCL-004", "The function that the body names is scaled.";
    ScaleClamped: "OFP-SCL-007", "A function has at most one replica, whatever was accepted.";
    ScaleNeverUp: "OFP-SCL-009", "Replicas beyond the first never start.";
    ScaleNeverDown: "OFP-SCL-009", "Replicas are never taken away.";

    // Scaling to zero.
    ZeroRefused: "OFP-ZER-001", "Scaling to 0 is answered with 400.";
    ZeroIs404: "OFP-ZER-002", "A function at zero has no status.";
    ZeroShowsOne: "OFP-ZER-002", "A function at zero says one replica.";
    ZeroNotListed: "OFP-ZER-003", "A function at zero is not in the list.";
    ZeroForEver: "OFP-ZER-004", "A function that was at zero never starts again.";
    ZeroCallIs200: "OFP-ZER-005", "A call of a function at zero is answered with 200 and nothing.";
    ZeroUpdateLost: "OFP-ZER-006", "An update of a function at zero is accepted and does nothing.";
    ZeroUpdateIs409: "OFP-ZER-006", "An update of a function at zero is answered with 409.";

    // Secrets.
    SecretCreateIs204: "OFP-SEC-001", "Creating a secret is answered with 204.";
    NoSecretsIsNull: "OFP-SEC-003", "A list of no secrets is null.";
    SecretsAreNames: "OFP-SEC-003", "The list of secrets has names, not objects.";
    SecretNotListed: "OFP-SEC-004", "A created secret is not listed.";
    DeletedSecretListed: "OFP-SEC-004", "A deleted secret stays in the list.";
    SecretValuesListed: "OFP-SEC-007", "The list of secrets has their values.";
    SecretsInErrors: "OFP-SEC-007", "The refusal of a secret has its value.";
    SecretAsText: "OFP-SEC-008", "Secrets reach functions as UTF-8, whatever they were.";
    SecretCut: "OFP-SEC-008", "Secrets reach functions up to 4 KiB of them.";
    SecretNewline: "OFP-SEC-008", "Secrets reach functions with a newline at their end.";
    RawValueRefused: "OFP-SEC-008", "A secret with `rawValue` is answered with 400.";
    SecretValueWins: "OFP-SEC-009", "`value` wins over `rawValue`.";
    ExistingSecretIs500: "OFP-SEC-011", "Creating a secret that exists is answered with 500.";
    ExistingSecretChanged: "OFP-SEC-011", "Creating a secret that exists changes it, and is answered with 409.";
    SecretUpdateIs201: "OFP-SEC-013", "Changing a secret is answered with 201.";
    SecretUpdateLost: "OFP-SEC-015", "Functions read the first value of a secret.";
    SecretDeleteIs204: "OFP-SEC-016", "Deleting a secret is answered with 204.";
    SecretDeleteOfNothingIs500: "OFP-SEC-017", "Deleting a secret that is not there is answered with 500, with a path of the host.";
    SecretDeleteUnchecked: "OFP-SEC-019", "Names of secrets are not checked when they are deleted.";
    SecretRefusedYetDeleted: "OFP-SEC-019", "Deleting a secret by a path to it is refused, and done.";
    SecretNamespaceUnchecked: "OFP-SEC-019", "Namespaces of secrets are not checked.";
    SecretNameUnchecked: "OFP-SEC-019", "Names of secrets are not checked.";

    // Namespaces.
    NamespacesAreObjects: "OFP-NAM-001", "The list of namespaces has objects.";
    NamespacesIs500: "OFP-NAM-001", "The list of namespaces is answered with 500.";
    DefaultTwice: "OFP-NAM-002", "The list of namespaces has the default one twice.";
    DottedCallIs404: "OFP-NAM-004", "A call that names the default namespace is answered with 404.";
    EmptyNamespaceRefused: "OFP-NAM-006", "An empty namespace is answered with 400.";
    EmptyNamespaceOfSecrets: "OFP-NAM-006", "An empty namespace of secrets is answered with 400.";
    EmptyNamespaceOfLogs: "OFP-NAM-006", "An empty namespace of logs is answered with 400.";
    EmptyNamespaceIsAnother: "OFP-NAM-006", "The list of functions of an empty namespace is empty.";
    DefaultByNameRefused: "OFP-NAM-007", "The default namespace by its name is answered with 400.";
    DefaultOfDeletionRefused: "OFP-NAM-007", "The default namespace by its name in the query of a deletion is answered with 400.";
    DefaultOfSecretsRefused: "OFP-NAM-007", "The default namespace of secrets by its name is answered with 400.";
    NamespaceCreateIs204: "OFP-NAM-009", "Creating a namespace is answered with 204.";
    NamespaceNotListed: "OFP-NAM-011", "A created namespace is not listed.";
    DeletedNamespaceListed: "OFP-NAM-011", "A deleted namespace stays in the list.";
    NamespaceLabelsLost: "OFP-NAM-012", "A namespace comes back without its labels.";
    NamespaceOfOldLabels: "OFP-NAM-012", "A namespace that was just created is answered with 404.";
    NoNamespaceIs400: "OFP-NAM-013", "A namespace that is not there is answered with 400.";
    NamespaceDeleteOfNothingIs202: "OFP-NAM-013", "Deleting a namespace that is not there is answered with 202.";
    NamespaceUpdateMerges: "OFP-NAM-014", "Labels that an update of a namespace does not have stay.";
    NamespaceUpdateIs204: "OFP-NAM-014", "Updating a namespace is answered with 204.";
    NamespaceDeleteIs204: "OFP-NAM-015", "Deleting a namespace is answered with 204.";
    NamespacesShared: "OFP-NAM-023", "An update changes functions of that name in every namespace.";
    ScaledTogether: "OFP-NAM-023", "Scaling changes functions of that name in every namespace.";
    DeletedTogether: "OFP-NAM-023", "A deletion removes functions of that name in every namespace.";
    DeployNamespaceIgnored: "OFP-NAM-024", "The namespace in the body of a deployment is not read.";
    UpdateNamespaceIgnored: "OFP-NAM-024", "The namespace in the body of an update is not read.";
    ListOfAll: "OFP-NAM-025", "The list has functions of every namespace.";
    StatusNamespaceIgnored: "OFP-NAM-025", "The namespace in the query of a status is not read.";
    DeleteBodyNamespaceIgnored: "OFP-NAM-026", "The namespace in the body of a deletion is not read.";
    DeleteQueryNamespaceIgnored: "OFP-NAM-027", "The namespace in the query of a deletion is not read.";
    ScaleBodyNamespaceIgnored: "OFP-NAM-028", "The namespace in the body of scaling is not read.";
    ScaleBodyNamespaceLost: "OFP-NAM-028", "Scaling with a namespace in the body is answered with 202 and not done.";
    ScaleQueryNamespaceIgnored: "OFP-NAM-029", "The namespace in the query of scaling is not read.";
    ScaleQueryNamespaceLost: "OFP-NAM-029", "Scaling with a namespace in the query is answered with 202 and not done.";
    CallNamespaceIgnored: "OFP-NAM-030", "The namespace in the path of a call is not read.";
    SecretsOfAll: "OFP-NAM-031", "The list has secrets of every namespace.";
    SecretBodyNamespaceIgnored: "OFP-NAM-032", "The namespace in the body of a secret is not read.";
    SecretUpdateElsewhere: "OFP-NAM-032", "An update of a secret in a namespace is answered with 200 and not done.";
    SecretDeleteByQuery: "OFP-NAM-032", "The namespace in the body of a secret's deletion is not read.";
    LogNamespaceIgnored: "OFP-NAM-033", "The namespace in the query of logs is not read.";
    FirstDotSplits: "OFP-NAM-036", "The path of a call is split at its first dot.";

    // Logs.
    LogsAre500: "OFP-LOG-001", "Logs are answered with 500.";
    LogsAreText: "OFP-LOG-001", "Logs are lines of text.";
    LogsOfOneReplica: "OFP-LOG-010", "Logs are those of one replica.";
    LogTimeIsNumber: "OFP-LOG-002", "`timestamp` is seconds since 1970.";
    LogInstanceIsNumber: "OFP-LOG-002", "`instance` is a number.";
    LogsReversed: "OFP-LOG-003", "The newest line comes first.";
    LogTextCut: "OFP-LOG-003", "Lines are cut after 100 bytes.";
    LogNameIsInstance: "OFP-LOG-004", "`name` is that of the replica.";
    LogTextWithNewline: "OFP-LOG-005", "`text` keeps its newline.";
    LogWithoutInstance: "OFP-LOG-006", "Lines of logs have no `instance`.";
    LogNamespaceEmpty: "OFP-LOG-006", "`namespace` is empty.";
    TailIgnored: "OFP-LOG-009", "`tail` is not read.";
    TailIsHead: "OFP-LOG-009", "`tail` gives the first lines.";
    TailOfMinusOneIsNone: "OFP-LOG-009", "`tail=-1` gives no lines.";
    SinceIgnored: "OFP-LOG-011", "`since` is not read.";
    SinceWithoutZone: "OFP-LOG-011", "The offset of `since` is not read.";
    FollowEnds: "OFP-LOG-012", "`follow` is not read.";
    FollowOnlyTrue: "OFP-LOG-012", "`follow=1` is not read.";
    LogsNeverEnd: "OFP-LOG-013", "Logs go on without `follow`.";
    FollowZeroFollows: "OFP-LOG-013", "`follow=0` is read as `follow=1`.";
    BadBytesEndLogs: "OFP-LOG-020", "A line that is not UTF-8 ends the stream.";
    LongLineStops: "OFP-LOG-021", "After a line over 64 KiB nothing of the function is read any more.";

    // Credentials.
    InfoOpen: "OFP-AUT-001", "The information is open.";
    LogsOpen: "OFP-AUT-001", "Logs are open.";
    WritesOnlyClosed: "OFP-AUT-001", "Only requests that change something need credentials.";
    RefusedWith403: "OFP-AUT-001", "Requests without credentials are answered with 403.";
    NoChallenge: "OFP-AUT-002", "An answer of 401 has no `WWW-Authenticate`.";
    AnyUser: "OFP-AUT-004", "The user is not compared.";
    PasswordByPrefix: "OFP-AUT-004", "A password that begins like the right one is taken.";
    EmptyBearerIs400: "OFP-AUT-005", "`Bearer` with nothing is answered with 400.";
    EmptyBearerAccepted: "OFP-AUT-005", "`Bearer` with nothing is taken.";
    UnreadableIs500: "OFP-AUT-006", "Credentials that cannot be read are answered with 500.";
    SchemeCaseMatters: "OFP-AUT-007", "`basic` is not taken for `Basic`.";
    RightRefusedOnScale: "OFP-AUT-008", "Right credentials are refused when a function is scaled.";
    CallsClosed: "OFP-AUT-009", "Calls need credentials.";
    HealthClosed: "OFP-AUT-010", "The health check needs credentials.";
    NamespacesOpen: "OFP-AUT-012", "The routes of namespaces are open.";
    ActsBeforeAsking: "OFP-AUT-013", "A request without credentials is carried out, then answered with 401.";
    OtherSpellingOpen: "OFP-AUT-015", "Only targets that begin with `/system/` as they are written need credentials.";
    EmptyCredentialsAccepted: "OFP-AUT-014", "Empty credentials are taken.";

    // Metrics.
    MetricsAreJson: "OFP-MET-001", "Metrics are JSON.";
    SeriesTwice: "OFP-MET-001", "A series is there twice.";
    NoCounter: "OFP-MET-002", "Requests are not counted.";
    NoHistogram: "OFP-MET-003", "There is no histogram.";
    RefusedUncounted: "OFP-MET-004", "Requests without credentials are not counted.";
    CallsCounted: "OFP-MET-005", "Calls of functions are counted as requests to the API.";
    NamespacesMakeSeries: "OFP-MET-006", "Every namespace that is asked for makes a series.";

    // Hardening.
    LengthWins: "OFP-HRD-001", "Of chunks and a length the length counts.";
    FirstLengthWins: "OFP-HRD-002", "Of two lengths the first counts.";
    BadLengthIsNone: "OFP-HRD-002", "A length that is no number counts as none.";
    UnknownEncodingIgnored: "OFP-HRD-003", "A Transfer-Encoding that is not known counts as none.";
    GoesOnAfterRefusal: "OFP-HRD-004", "What follows a refused request is run.";
    HostNotNeeded: "OFP-HRD-005", "A request needs no `Host`.";
    TwoHosts: "OFP-HRD-005", "A request may have two `Host`.";
    BlankBeforeColon: "OFP-HRD-006", "A blank before the colon of a header is taken.";
    FoldCut: "OFP-HRD-007", "What a header goes on with in the next line is left out.";
    ControlInHeader: "OFP-HRD-008", "NUL and carriage returns within a header reach the function.";
    BadChunkEnds: "OFP-HRD-009", "A chunk whose size is none ends the body.";
    EarlyEndIsEnd: "OFP-HRD-010", "A body that ends too early reaches the function as complete.";
    TargetCut: "OFP-HRD-011", "A target is read up to a blank in it.";
    TargetUnanswered: "OFP-HRD-011", "A request with a blank in its target gets no answer, and its connection stays open.";
    AnyVersion: "OFP-HRD-012", "A request of HTTP/2.0 is served.";
    GarbageUnanswered: "OFP-HRD-012", "What is no HTTP gets no answer, and its connection stays open.";
    DotsResolved: "OFP-HRD-013", "Segments of dots lead out of the function.";
    ReplyFirstLength: "OFP-HRD-017", "Of two lengths of a reply the first counts.";
    ReplyWithBoth: "OFP-HRD-018", "A reply with chunks and a length reaches the caller with both.";
    ReplyLineFeeds: "OFP-HRD-018", "Line feeds in the headers of a reply reach the caller.";
    PathsInErrors: "OFP-HRD-019", "Refusals have a path of the host.";
    EnvironmentLeaks: "OFP-HRD-020", "A variable of the provider reaches functions.";
    ServicesReached: "OFP-HRD-021", "A namespace that is none reaches a service of the platform.";
    HostileInputStops: "OFP-HRD-022", "After a request whose length cannot be told nobody is served any more.";
}
