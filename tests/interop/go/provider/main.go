// A provider on the real Go SDK (github.com/openfaas/faas-provider) that runs functions as child
// processes: what an author gets who follows the SDK and takes care in the handlers that it leaves
// to him. The conformance kit is run against it; what it finds are deviations of the SDK.
//
// Usage: provider PORT DIRECTORY
//
// DIRECTORY/basic-auth-user and DIRECTORY/basic-auth-password hold the credentials; secrets of
// functions are kept in DIRECTORY.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	bootstrap "github.com/openfaas/faas-provider"
	"github.com/openfaas/faas-provider/logs"
	"github.com/openfaas/faas-provider/proxy"
	"github.com/openfaas/faas-provider/types"
)

const defaultNamespace = "openfaas-fn"

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: provider PORT DIRECTORY")
		os.Exit(2)
	}
	port, err := strconv.Atoi(os.Args[1])
	if err != nil {
		fmt.Fprintf(os.Stderr, "%q is no port\n", os.Args[1])
		os.Exit(2)
	}
	backend := newBackend(filepath.Join(os.Args[2], "functions"))
	config := types.FaaSConfig{
		TCPPort:         &port,
		ReadTimeout:     time.Minute,
		WriteTimeout:    time.Minute,
		EnableBasicAuth: true,
		SecretMountPath: os.Args[2],
	}
	handlers := types.FaaSHandlers{
		FunctionProxy:   proxy.NewHandlerFunc(config, backend, false),
		FunctionLister:  backend.list,
		DeployFunction:  backend.deploy,
		UpdateFunction:  backend.update,
		DeleteFunction:  backend.delete,
		FunctionStatus:  backend.status,
		ScaleFunction:   backend.scale,
		Secrets:         backend.secrets,
		Logs:            logs.NewLogHandlerFunc(backend, time.Minute),
		ListNamespaces:  backend.listNamespaces,
		MutateNamespace: backend.mutateNamespace,
		Health:          func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusOK) },
		Info:            info,
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	bootstrap.Serve(ctx, &handlers, &config)
	backend.stopAll()
}

func info(w http.ResponseWriter, r *http.Request) {
	answer(w, http.StatusOK, types.ProviderInfo{
		Name:          "go-sdk-example",
		Orchestration: "processes",
		Version:       &types.VersionInfo{SHA: "0000000", Release: "0.25.12"},
	})
}

// answer writes JSON.
func answer(w http.ResponseWriter, status int, body any) {
	bytes, err := json.Marshal(body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(bytes)
}

// refusal is an error with the status that a client gets for it.
type refusal struct {
	status int
	text   string
}

func (r refusal) Error() string { return r.text }

func refuse(status int, format string, args ...any) error {
	return refusal{status, fmt.Sprintf(format, args...)}
}

// done writes what became of an operation.
func done(w http.ResponseWriter, status int, err error) {
	switch err := err.(type) {
	case nil:
		w.WriteHeader(status)
	case refusal:
		http.Error(w, err.text, err.status)
	default:
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

// read decodes the body of a call, of which there must be one.
func read(r *http.Request, into any) error {
	decoder := json.NewDecoder(http.MaxBytesReader(nil, r.Body, 10<<20))
	if err := decoder.Decode(into); err != nil {
		return refuse(http.StatusBadRequest, "the body cannot be read: %s", err)
	}
	if decoder.More() {
		return refuse(http.StatusBadRequest, "there is more in the body than one value")
	}
	return nil
}

// namespaceOf is the namespace that a call names in its body, else in its query, else the default.
func namespaceOf(r *http.Request, body string) (string, error) {
	query := r.URL.Query().Get("namespace")
	switch {
	case body != "" && query != "" && body != query:
		return "", refuse(http.StatusBadRequest, "the body names namespace %s and the query %s", body, query)
	case body != "":
		return body, nil
	case query != "":
		return query, nil
	}
	return defaultNamespace, nil
}
