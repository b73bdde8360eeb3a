package main

import (
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/openfaas/faas-provider/types"
)

func (b *backend) secrets(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet {
		b.listSecrets(w, r)
		return
	}
	status := http.StatusOK
	if r.Method == http.MethodPost {
		status = http.StatusCreated
	}
	done(w, status, b.changeSecret(r))
}

func (b *backend) listSecrets(w http.ResponseWriter, r *http.Request) {
	namespace, err := namespaceOf(r, "")
	if err != nil {
		done(w, http.StatusOK, err)
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.knows(namespace); err != nil {
		done(w, http.StatusOK, err)
		return
	}
	all := []types.Secret{}
	for name := range b.values {
		if name.namespace == namespace {
			all = append(all, types.Secret{Name: name.name, Namespace: namespace})
		}
	}
	slices.SortFunc(all, func(a, b types.Secret) int { return strings.Compare(a.Name, b.Name) })
	answer(w, http.StatusOK, all)
}

func (b *backend) changeSecret(r *http.Request) error {
	var secret types.Secret
	if err := read(r, &secret); err != nil {
		return err
	}
	namespace, err := namespaceOf(r, secret.Namespace)
	if err != nil {
		return err
	}
	if !validName.MatchString(secret.Name) {
		return refuse(http.StatusBadRequest, "%q is no name of a secret", secret.Name)
	}
	value := secret.RawValue
	if len(value) == 0 {
		value = []byte(secret.Value)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.knows(namespace); err != nil {
		return err
	}
	name := key{namespace, secret.Name}
	_, present := b.values[name]
	switch {
	case r.Method == http.MethodPost && present:
		return refuse(http.StatusConflict, "secret %s already exists", secret.Name)
	case r.Method != http.MethodPost && !present:
		return refuse(http.StatusNotFound, "secret %s not found", secret.Name)
	}
	if r.Method == http.MethodDelete {
		for _, f := range b.functions {
			if f.spec.Namespace == namespace && slices.Contains(f.spec.Secrets, secret.Name) {
				return refuse(http.StatusConflict, "secret %s is used by %s", secret.Name, f.spec.Service)
			}
		}
		delete(b.values, name)
		return nil
	}
	b.values[name] = value
	// A file that takes another's place is seen whole, or not at all.
	for _, f := range b.functions {
		if f.spec.Namespace != namespace || !slices.Contains(f.spec.Secrets, secret.Name) {
			continue
		}
		place := filepath.Join(b.mountOf(f), secret.Name)
		beside := place + ".new"
		if err := os.WriteFile(beside, value, 0o444); err != nil {
			return err
		}
		if err := os.Rename(beside, place); err != nil {
			return err
		}
	}
	return nil
}
