package main

import (
	"io"
	"net/http"
	"slices"

	"github.com/gorilla/mux"
	"github.com/openfaas/faas-provider/types"
)

// knows refuses a namespace that is not there.
func (b *backend) knows(namespace string) error {
	if _, ok := b.namespaces[namespace]; ok || namespace == defaultNamespace {
		return nil
	}
	return refuse(http.StatusBadRequest, "namespace %s does not exist", namespace)
}

func (b *backend) listNamespaces(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	names := []string{defaultNamespace}
	for name := range b.namespaces {
		names = append(names, name)
	}
	slices.Sort(names)
	answer(w, http.StatusOK, slices.Compact(names))
}

func (b *backend) mutateNamespace(w http.ResponseWriter, r *http.Request) {
	name := mux.Vars(r)["name"]
	if r.Method == http.MethodGet {
		b.mu.Lock()
		defer b.mu.Unlock()
		namespace, ok := b.namespaces[name]
		if !ok && name != defaultNamespace {
			http.Error(w, "namespace "+name+" not found", http.StatusNotFound)
			return
		}
		namespace.Name = name
		answer(w, http.StatusOK, namespace)
		return
	}
	status := http.StatusAccepted
	if r.Method == http.MethodPost {
		status = http.StatusCreated
	}
	done(w, status, b.changeNamespace(r, name))
}

func (b *backend) changeNamespace(r *http.Request, name string) error {
	var namespace types.FunctionNamespace
	if r.Method == http.MethodDelete {
		_, _ = io.Copy(io.Discard, r.Body)
	} else if err := read(r, &namespace); err != nil {
		return err
	}
	switch {
	case r.Method == http.MethodPost && name == "":
		name = namespace.Name
	case namespace.Name == "":
		namespace.Name = name
	case namespace.Name != name:
		return refuse(http.StatusBadRequest, "the body names namespace %s and the path %s", namespace.Name, name)
	}
	if !validName.MatchString(name) {
		return refuse(http.StatusBadRequest, "%q is no name of a namespace", name)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	_, present := b.namespaces[name]
	switch {
	case r.Method == http.MethodPost && (present || name == defaultNamespace):
		return refuse(http.StatusConflict, "namespace %s already exists", name)
	case r.Method == http.MethodDelete && name == defaultNamespace:
		return refuse(http.StatusBadRequest, "namespace %s cannot be deleted", name)
	case r.Method != http.MethodPost && !present && name != defaultNamespace:
		return refuse(http.StatusNotFound, "namespace %s not found", name)
	case r.Method != http.MethodDelete:
		b.namespaces[name] = namespace
		return nil
	}
	for taken := range b.functions {
		if taken.namespace == name {
			return refuse(http.StatusConflict, "namespace %s is not empty", name)
		}
	}
	for taken := range b.values {
		if taken.namespace == name {
			return refuse(http.StatusConflict, "namespace %s is not empty", name)
		}
	}
	delete(b.namespaces, name)
	return nil
}
