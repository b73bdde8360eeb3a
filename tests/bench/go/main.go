// The Go SDK's proxy as a provider serves it, with one function on a fixed address.
// Usage: bench LISTEN UPSTREAM
package main

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/gorilla/mux"
	"github.com/openfaas/faas-provider/proxy"
	"github.com/openfaas/faas-provider/types"
)

type fixed struct{ address url.URL }

func (f fixed) Resolve(string) (url.URL, error) { return f.address, nil }

func main() {
	listener, err := net.Listen("tcp", os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	handler := proxy.NewHandlerFunc(types.FaaSConfig{
		ReadTimeout:         60 * time.Second,
		MaxIdleConns:        1024,
		MaxIdleConnsPerHost: 1024,
	}, fixed{url.URL{Scheme: "http", Host: os.Args[2]}}, false)

	router := mux.NewRouter()
	router.HandleFunc("/function/{name:[-a-zA-Z_0-9.]+}", handler)
	router.HandleFunc("/function/{name:[-a-zA-Z_0-9.]+}/", handler)
	router.HandleFunc("/function/{name:[-a-zA-Z_0-9.]+}/{params:.*}", handler)
	fmt.Printf("listening on http://%s\n", listener.Addr())
	fmt.Fprintln(os.Stderr, http.Serve(listener, router))
}
