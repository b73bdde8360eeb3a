module bench

go 1.24

require (
	github.com/gorilla/mux v1.8.1
	github.com/openfaas/faas-provider v0.25.12
)
