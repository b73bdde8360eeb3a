//! The commands, and what comes of each.

use crate::client::{Case, Client, case};

use Client::{Cli, NewerCli, Sdk};

/// Commands that follow each other on one provider.
pub(crate) struct Walk {
    pub(crate) title: &'static str,
    pub(crate) cases: &'static [Case],
}

/// Logs in; what it says is compared in the walk that is about it.
const LOGIN: Case = case(
    Cli,
    "",
    &["login", "--username", "admin", "--password-stdin"],
    "*credentials saved for admin {url}",
)
.input("correct horse\n");

/// Deploys a function that answers with what it was called with.
const DEPLOY_SHOW: Case = case(
    Cli,
    "",
    &["deploy", "--name", "show", "--image", "{dir}/show"],
    "*Deployed. 202 Accepted.*",
);

pub(crate) const WALKS: &[Walk] = &[
    Walk {
        title: "Who calls, and whom",
        cases: &[
            case(
                Cli,
                "without credentials, nothing is shown",
                &["list"],
                "Unauthorized access, run \"faas-cli login\" to setup authentication for this server*",
            )
            .fails(),
            case(
                Cli,
                "a wrong password is refused",
                &["login", "--username", "admin", "--password-stdin"],
                "Calling the OpenFaaS server to validate the credentials...*\nUnable to login, either username or password is incorrect",
            )
            .input("wrong")
            .fails(),
            case(
                Cli,
                "the right one is kept",
                &["login", "--username", "admin", "--password-stdin"],
                "Calling the OpenFaaS server to validate the credentials...\ncredentials saved for admin {url}",
            )
            .input("correct horse\n"),
            case(
                Cli,
                "says what provider this is",
                &["version", "--warn-update=false"],
                "*Gateway\n uri:     {url}\n version: *\n sha:     *\n*Provider\n name:          faas-process\n orchestration: processes\n version:       *\n sha:           *",
            ),
            case(Sdk, "the same by `GetInfo`", &["info"], "faas-process processes x86_64"),
            case(
                NewerCli,
                "waits until the provider answers",
                &["ready", "--attempts", "3"],
                "*OpenFaaS gateway is ready",
            ),
            case(Cli, "forgets the password", &["logout"], "credentials removed for {url}"),
        ],
    },
    Walk {
        title: "Functions",
        cases: &[
            LOGIN,
            case(
                Cli,
                "nothing is there yet",
                &["list"],
                "Function                      \tInvocations    \tReplicas",
            ),
            case(
                Cli,
                "a new function: PUT answers 404, POST 202",
                &[
                    "deploy", "--name", "show", "--image", "{dir}/show", "--env", "GREETING=hi",
                    "--label", "team=a", "--annotation", "topic=t",
                ],
                "Deployed. 202 Accepted.\nURL: {url}/function/show",
            ),
            case(
                Cli,
                "again: PUT answers 200",
                &[
                    "deploy", "--name", "show", "--image", "{dir}/show", "--env", "GREETING=hi",
                    "--label", "team=a", "--annotation", "topic=t",
                ],
                "Function show already exists, attempting rolling-update.\n\nDeployed. 200 OK.\nURL: {url}/function/show",
            ),
            case(
                Cli,
                "POST for a function that exists answers 409",
                &["deploy", "--name", "show", "--image", "{dir}/show", "--update=false"],
                "*Unexpected status: 409, message: *show*exists*",
            )
            .fails(),
            case(
                Cli,
                "DELETE, then POST",
                &[
                    "deploy", "--name", "show", "--image", "{dir}/show", "--env", "GREETING=hi",
                    "--label", "team=a", "--annotation", "topic=t", "--update=false", "--replace",
                ],
                "Removing old function.\n\nDeployed. 202 Accepted.\nURL: {url}/function/show",
            ),
            case(
                Cli,
                "an image that is no local program, with a process that is one",
                &["deploy", "--name", "env", "--image", "ghcr.io/openfaas/alpine:latest", "--fprocess", "env"],
                "Deployed. 202 Accepted.\nURL: {url}/function/env",
            ),
            case(
                Cli,
                "a program that does not exist is refused with words",
                &["deploy", "--name", "none", "--image", "ghcr.io/openfaas/none:latest"],
                "*Unexpected status: 400, message: *local programs*",
            )
            .fails(),
            case(
                Cli,
                "a bad name is refused with words",
                &["deploy", "--name", "Bad_Name", "--image", "{dir}/show"],
                "*Unexpected status: 400, message: *Bad_Name*",
            )
            .fails(),
            case(
                Cli,
                "a bad quantity is refused with words",
                &["deploy", "--yaml", "bad-limits.yml"],
                "*Unexpected status: 400, message: *limits.memory*lots*",
            )
            .fails(),
            case(
                Cli,
                "all functions, by name",
                &["list"],
                "Function                      \tInvocations    \tReplicas\nenv                           \t0              \t1    \nshow                          \t0              \t1",
            )
            .waits(),
            case(Cli, "their names", &["list", "--quiet"], "env\nshow"),
            case(
                Cli,
                "their images and times as well",
                &["list", "--verbose"],
                "Function*Image*Invocations*Replicas*CreatedAt*\nenv *ghcr.io/openfaas/alpine:latest*0 *1 *20*-*-* *\nshow *{dir}/show*0 *1 *20*-*-* *",
            ),
            case(NewerCli, "the same as JSON", &["list", "--json"], "*\"name\": \"env\"*\"name\": \"show\"*"),
            case(
                Cli,
                "one function, ready",
                &["describe", "show"],
                "Name:*show\nStatus:*Ready\nReplicas:*1\nAvailable *eplicas:*1\nInvocations:*0\nImage:*{dir}/show\nFunction *rocess:*\nURL:*{url}/function/show\nAsync URL:*{url}/async-function/show*team*: a*topic*: t*",
            )
            .waits(),
            case(
                Cli,
                "a function that does not exist",
                &["describe", "nobody"],
                "*No such function: nobody*",
            )
            .fails(),
            case(
                NewerCli,
                "waits until a function answers",
                &["ready", "show", "--attempts", "10"],
                "*Function show is ready*",
            ),
            case(Cli, "removes a function", &["remove", "env"], "Deleting: env.\nRemoving old function."),
            case(
                Cli,
                "removes it again",
                &["remove", "env"],
                "Deleting: env.*No existing function to remove*",
            )
            .fails()
            .waits(),
            case(Cli, "it is gone", &["list", "--quiet"], "show").waits(),
        ],
    },
    Walk {
        title: "Stack files",
        cases: &[
            LOGIN,
            case(
                Cli,
                "builds nothing, pushes nothing and deploys both functions",
                &["up", "--yaml", "functions.yml"],
                "*Deployed. 202 Accepted.*Deployed. 202 Accepted.*",
            ),
            case(
                Cli,
                "updates them",
                &["deploy", "--yaml", "functions.yml"],
                "*Deployed. 200 OK.*Deployed. 200 OK.*",
            ),
            case(
                NewerCli,
                "what was deployed is what the file says, but for the label that providers add",
                &["diff", "--yaml", "functions.yml"],
                "*+ label.faas_function: *\n*+ label.faas_function: *Differences found",
            )
            .fails(),
            case(
                Cli,
                "asks one of them",
                &["invoke", "upper"],
                "QUIET PLEASE",
            )
            .input("quiet please\n"),
            case(
                Cli,
                "removes them",
                &["remove", "--yaml", "functions.yml"],
                "*Removing old function.*Removing old function.*",
            ),
            case(Cli, "", &["list", "--quiet"], "").waits(),
        ],
    },
    Walk {
        title: "Invocations",
        cases: &[
            LOGIN,
            DEPLOY_SHOW,
            case(
                Cli,
                "a body",
                &["invoke", "show"],
                "POST / type=text/plain query= header=\nhello",
            )
            .input("hello\n"),
            case(
                Cli,
                "a query, a header, a method and a type",
                &[
                    "invoke", "show", "--query", "a=1", "--query", "b=2", "--header",
                    "X-Test=yes", "--method", "PUT", "--content-type", "application/json",
                ],
                "PUT / type=application/json query=a=1&b=2 header=yes\n{}*",
            )
            .input("{}"),
            case(
                Cli,
                "a method without a body",
                &["invoke", "show", "--method", "GET"],
                "GET / type=text/plain query= header=",
            ),
            case(
                Cli,
                "the namespace by name",
                &["invoke", "show", "--namespace", "openfaas-fn"],
                "POST / type=text/plain query= header=",
            ),
            case(
                Cli,
                "a function that does not exist",
                &["invoke", "nobody"],
                "*404*No endpoints available for: nobody.*",
            )
            .fails(),
            case(
                Cli,
                "asynchronously: not yet",
                &["invoke", "show", "--async"],
                "*501*",
            )
            .fails(),
            case(
                Sdk,
                "by `InvokeFunction`, as today's `faas-cli` does",
                &["invoke", "show", "openfaas-fn", "hello"],
                "200 POST / type= query= header=\nhello",
            ),
        ],
    },
    Walk {
        title: "Logs",
        cases: &[
            LOGIN,
            DEPLOY_SHOW,
            case(Cli, "", &["invoke", "show"], "*one").input("one"),
            case(Cli, "", &["invoke", "show"], "*two").input("two"),
            case(
                Cli,
                "all lines there are",
                &["logs", "show", "--tail=false"],
                "*stderr: got one*stderr: got two*",
            )
            .waits(),
            case(
                Cli,
                "the last lines",
                &["logs", "show", "--tail=false", "--lines", "1"],
                "20*-*-*T*Z *",
            ),
            case(
                Cli,
                "since a time",
                &["logs", "show", "--tail=false", "--since", "1h"],
                "*stderr: got one*stderr: got two*",
            ),
            case(
                Cli,
                "since a time that nothing has happened after",
                &["logs", "show", "--tail=false", "--since-time", "2100-01-01T00:00:00Z"],
                "",
            ),
            case(
                Cli,
                "as JSON",
                &["logs", "show", "--tail=false", "--output", "json"],
                "*{\"name\":\"show\",\"namespace\":\"openfaas-fn\",\"instance\":\"*\",\"timestamp\":\"20*Z\",\"text\":\"*stderr: got one\"}*",
            ),
            case(
                Cli,
                "as keys and values",
                &["logs", "show", "--tail=false", "--output", "keyvalue", "--name", "--instance"],
                "*name=\"show\" instance=\"*\" text=\"*stderr: got one\"*",
            ),
            case(
                Cli,
                "goes on with lines that are written meanwhile",
                &["logs", "show"],
                "*stderr: got one*stderr: got two*stderr: got three*",
            )
            .meanwhile(&case(Cli, "", &["invoke", "show"], "*three").input("three")),
            case(
                Cli,
                "of a function that does not exist",
                &["logs", "nobody", "--tail=false"],
                "*404*nobody*",
            )
            .fails(),
            case(
                Sdk,
                "by `GetLogs`",
                &["logs", "show", "openfaas-fn", "100"],
                "*show.openfaas-fn *stderr: got one*",
            ),
        ],
    },
    Walk {
        title: "Secrets",
        cases: &[
            LOGIN,
            case(Cli, "nothing is there yet", &["secret", "list"], "No secrets found."),
            case(
                Cli,
                "a new one",
                &["secret", "create", "api-key", "--from-literal", "one"],
                "Creating secret: api-key*\nCreated: 201 Created",
            ),
            case(
                Cli,
                "again: 409",
                &["secret", "create", "api-key", "--from-literal", "two"],
                "*secret with the name \"api-key\" already exists",
            ),
            case(
                NewerCli,
                "again, to replace it: 409, then PUT",
                &["secret", "create", "api-key", "--from-literal", "two", "--replace"],
                "*Updated: 200 OK",
            ),
            case(
                Cli,
                "from a file",
                &["secret", "create", "binary", "--from-file", "secret.bin"],
                "Creating secret: binary*\nCreated: 201 Created",
            ),
            case(
                Cli,
                "another value",
                &["secret", "update", "api-key", "--from-literal", "three"],
                "Updating secret: api-key*\nUpdated: 200 OK",
            ),
            case(
                Cli,
                "another value for one that does not exist",
                &["secret", "update", "nothing", "--from-literal", "three"],
                "*unable to find secret: nothing",
            ),
            case(Cli, "their names", &["secret", "list"], "NAME*\napi-key*\nbinary*"),
            case(
                Sdk,
                "never their values",
                &["secrets", "openfaas-fn"],
                "api-key.openfaas-fn \"\" \"\"\nbinary.openfaas-fn \"\" \"\"",
            ),
            case(
                Cli,
                "a function that reads them",
                &[
                    "deploy", "--name", "teller", "--image", "{dir}/teller", "--secret", "api-key",
                    "--secret", "binary",
                ],
                "Deployed. 202 Accepted.\nURL: {url}/function/teller",
            ),
            case(Cli, "has their values", &["invoke", "teller"], "three|\"raw\"|"),
            case(
                Cli,
                "a function that wants one that does not exist",
                &["deploy", "--name", "asker", "--image", "{dir}/teller", "--secret", "nothing"],
                "*Unexpected status: 400, message: *nothing*",
            )
            .fails(),
            case(NewerCli, "all files of a directory", &["secret", "apply"], "*applied*"),
            case(Cli, "", &["remove", "teller"], "*Removing old function."),
            case(
                Cli,
                "removes one",
                &["secret", "remove", "binary"],
                "Removed.. OK.",
            )
            ,
            case(
                Cli,
                "removes it again",
                &["secret", "remove", "binary"],
                "Unable to find secret: binary",
            )
            .fails(),
        ],
    },
    Walk {
        title: "Namespaces",
        cases: &[
            LOGIN,
            case(Cli, "the default one", &["namespaces"], "Namespaces:\n - openfaas-fn*"),
            case(
                Sdk,
                "a new one, by `CreateNamespace`",
                &["namespace-create", "staging", "team=a"],
                "201 Created",
            ),
            case(
                Sdk,
                "again: 409",
                &["namespace-create", "staging", "team=a"],
                "error: *409*staging*",
            )
            .fails(),
            case(
                Sdk,
                "what it is, by `GetNamespace`",
                &["namespace-get", "staging"],
                "staging *team=a* openfaas=1",
            ),
            case(
                Sdk,
                "other labels, by `UpdateNamespace`",
                &["namespace-update", "staging", "team=b"],
                "202 Accepted",
            ),
            case(Sdk, "", &["namespace-get", "staging"], "staging *team=b* openfaas=1"),
            case(
                Sdk,
                "one that does not exist",
                &["namespace-get", "nowhere"],
                "error: *nowhere*",
            )
            .fails(),
            case(
                NewerCli,
                "the same by its own commands",
                &["namespace", "create", "other", "--label", "team=a"],
                "*",
            ),
            case(NewerCli, "what it is", &["namespace", "get", "other"], "*team*a*"),
            case(NewerCli, "other labels", &["namespace", "update", "other", "--label", "team=b"], "*"),
            case(NewerCli, "all namespaces", &["namespace", "list"], "*openfaas-fn*other*staging*"),
            case(NewerCli, "removes it", &["namespace", "remove", "other"], "*"),
            case(
                Cli,
                "both, each once",
                &["namespaces"],
                "Namespaces:\n - openfaas-fn\n - staging*",
            ),
            case(
                Cli,
                "a function there",
                &["deploy", "--name", "show", "--image", "{dir}/show", "--namespace", "staging"],
                "Deployed. 202 Accepted.\nURL: {url}/function/show.staging",
            ),
            case(Cli, "it is listed there", &["list", "--quiet", "--namespace", "staging"], "show"),
            case(Cli, "and only there", &["list", "--quiet"], ""),
            case(
                Cli,
                "it answers there",
                &["invoke", "show", "--namespace", "staging"],
                "POST / type=text/plain query= header=",
            ),
            case(
                Cli,
                "its status",
                &["describe", "show", "--namespace", "staging"],
                "Name:*show\nStatus:*Ready\n*URL:*{url}/function/show.staging\n*",
            )
            .waits(),
            case(
                Cli,
                "its logs",
                &["logs", "show", "--tail=false", "--namespace", "staging"],
                "*stderr: got*",
            )
            .waits(),
            case(
                Cli,
                "its own secret",
                &["secret", "create", "key", "--from-literal", "one", "--namespace", "staging"],
                "Creating secret: key*\nCreated: 201 Created",
            ),
            case(Cli, "is not elsewhere", &["secret", "list"], "No secrets found."),
            case(
                Cli,
                "removes it",
                &["secret", "remove", "key", "--namespace", "staging"],
                "Removed.. OK.",
            ),
            case(
                Sdk,
                "a namespace that is not empty stays",
                &["namespace-remove", "staging"],
                "error: *staging*",
            )
            .fails(),
            case(
                Cli,
                "removes the function",
                &["remove", "show", "--namespace", "staging"],
                "Deleting: show.staging\nRemoving old function.",
            ),
            case(
                Sdk,
                "removes the namespace, by `DeleteNamespace`",
                &["namespace-remove", "staging"],
                "",
            )
            .waits(),
            case(Sdk, "it is gone", &["namespaces"], "openfaas-fn").waits(),
        ],
    },
    Walk {
        title: "The Go SDK's client",
        cases: &[
            case(
                Sdk,
                "`Update` of what does not exist",
                &["update", "show", "", "{dir}/show", ""],
                "error: *404*",
            )
            .fails(),
            case(
                Sdk,
                "`Deploy`",
                &["deploy", "show", "", "{dir}/show", ""],
                "202 Accepted",
            ),
            case(
                Sdk,
                "`Update` of what exists",
                &["update", "show", "openfaas-fn", "{dir}/show", ""],
                "200 OK",
            ),
            case(
                Sdk,
                "`GetFunctions`",
                &["functions", "openfaas-fn"],
                "show.openfaas-fn {dir}/show \"\" 1/1 true",
            )
            .waits(),
            case(Sdk, "`ScaleFunction` to three", &["scale", "show", "openfaas-fn", "3"], ""),
            case(
                Sdk,
                "`GetFunction`: three, ready",
                &["function", "show", "openfaas-fn"],
                "show.openfaas-fn {dir}/show \"\" 3/3 true",
            )
            .waits(),
            case(Sdk, "to none", &["scale", "show", "", "0"], ""),
            case(
                Sdk,
                "none, and still there",
                &["function", "show", ""],
                "show.openfaas-fn {dir}/show \"\" 0/0 true",
            )
            .waits(),
            case(
                Sdk,
                "`ScaleFunction` of what does not exist",
                &["scale", "nobody", "", "1"],
                "error: *nobody*",
            )
            .fails(),
            case(Sdk, "`CreateSecret`", &["secret-create", "key", "", "one"], "201 Created"),
            case(Sdk, "again", &["secret-create", "key", "", "one"], "error: *409*").fails(),
            case(Sdk, "`UpdateSecret`", &["secret-update", "key", "", "two"], "200 OK"),
            case(Sdk, "`DeleteSecret`", &["secret-remove", "key", ""], ""),
            case(Sdk, "again", &["secret-remove", "key", ""], "error: *key*").fails(),
            case(Sdk, "`DeleteFunction`", &["remove", "show", ""], ""),
            case(Sdk, "again", &["remove", "show", ""], "error: *show*").fails().waits(),
        ],
    },
];
