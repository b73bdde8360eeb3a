module interop

go 1.24

require github.com/openfaas/faas-provider v0.25.12

require github.com/openfaas/go-sdk v0.2.22
