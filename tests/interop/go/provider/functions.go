package main

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/mux"
	"github.com/openfaas/faas-provider/types"
)

const (
	mostReplicas = 20
	settle       = 200 * time.Millisecond
)

var (
	validName     = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`)
	validQuantity = regexp.MustCompile(`^[0-9]+(\.[0-9]+)?(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei|[eE][0-9]+)?$`)
)

// key names a function or a secret.
type key struct{ namespace, name string }

// function is one that is deployed.
type function struct {
	spec     types.FunctionDeployment
	created  time.Time
	wanted   uint64
	replicas []*replica
	// before serves until one of the replicas answers.
	before []*replica
	log    *functionLog
	next   int
}

// backend holds everything in memory, but for the files of secrets.
type backend struct {
	mu         sync.Mutex
	dir        string
	functions  map[key]*function
	values     map[key][]byte
	namespaces map[string]types.FunctionNamespace
	started    uint64
}

func newBackend(dir string) *backend {
	return &backend{
		dir:        dir,
		functions:  map[key]*function{},
		values:     map[key][]byte{},
		namespaces: map[string]types.FunctionNamespace{},
	}
}

func (b *backend) deploy(w http.ResponseWriter, r *http.Request) {
	done(w, http.StatusAccepted, b.put(r, false))
}

func (b *backend) update(w http.ResponseWriter, r *http.Request) {
	done(w, http.StatusOK, b.put(r, true))
}

// put deploys a function, or replaces one.
func (b *backend) put(r *http.Request, replace bool) error {
	var spec types.FunctionDeployment
	if err := read(r, &spec); err != nil {
		return err
	}
	namespace, err := namespaceOf(r, spec.Namespace)
	if err != nil {
		return err
	}
	spec.Namespace = namespace
	minimum, err := check(&spec)
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.knows(namespace); err != nil {
		return err
	}
	name := key{namespace, spec.Service}
	present := b.functions[name]
	switch {
	case replace && present == nil:
		return refuse(http.StatusNotFound, "function: %s.%s not found", spec.Service, namespace)
	case !replace && present != nil:
		return refuse(http.StatusConflict, "function: %s.%s already exists", spec.Service, namespace)
	}
	for _, secret := range spec.Secrets {
		if _, ok := b.values[key{namespace, secret}]; !ok {
			return refuse(http.StatusBadRequest, "unable to find secret: %s", secret)
		}
	}
	next := &function{spec: spec, created: time.Now(), wanted: max(minimum, 1), log: newFunctionLog(spec.Service, namespace)}
	if present != nil {
		next.created, next.log = present.created, present.log
		next.before = append(present.replicas, present.before...)
		if minimum == 0 {
			next.wanted = present.wanted
		}
	}
	if err := b.mount(next); err != nil {
		return err
	}
	if err := b.fill(next); err != nil {
		next.stop()
		return refuse(http.StatusBadRequest, "the program cannot be started: %s", err)
	}
	b.functions[name] = next
	if present != nil {
		go b.replace(next)
	}
	return nil
}

// replace ends what served before a function's update, once its successor answers.
func (b *backend) replace(f *function) {
	b.mu.Lock()
	first := append([]*replica{}, f.replicas...)
	b.mu.Unlock()
	if len(first) > 0 {
		first[0].wait()
	}
	b.mu.Lock()
	old := f.before
	f.before = nil
	b.mu.Unlock()
	// The SDK's proxy does not say when it has called what it was told last.
	time.Sleep(settle)
	for _, replica := range old {
		replica.stop()
	}
}

// check refuses what cannot be deployed, and says how many replicas are wanted at least.
func check(spec *types.FunctionDeployment) (uint64, error) {
	if spec.Service == "" {
		return 0, refuse(http.StatusBadRequest, "validation failed: service: is required")
	}
	if !validName.MatchString(spec.Service) {
		return 0, refuse(http.StatusBadRequest, "validation failed: service: (%s) is invalid", spec.Service)
	}
	if spec.Image == "" {
		return 0, refuse(http.StatusBadRequest, "validation failed: image: is required")
	}
	for _, resources := range []*types.FunctionResources{spec.Limits, spec.Requests} {
		if resources == nil {
			continue
		}
		for _, quantity := range []string{resources.Memory, resources.CPU} {
			if quantity != "" && !validQuantity.MatchString(quantity) {
				return 0, refuse(http.StatusBadRequest, "validation failed: %q is no quantity", quantity)
			}
		}
	}
	if (spec.Limits != nil && *spec.Limits != types.FunctionResources{}) || spec.ReadOnlyRootFilesystem {
		return 0, refuse(http.StatusBadRequest, "limits and readOnlyRootFilesystem cannot be kept here: leave them out")
	}
	if spec.Labels == nil {
		return 0, nil
	}
	text, ok := (*spec.Labels)["com.openfaas.scale.min"]
	if !ok {
		return 0, nil
	}
	minimum, err := strconv.ParseUint(text, 10, 64)
	if err != nil || minimum > mostReplicas {
		return 0, refuse(http.StatusBadRequest, "validation failed: com.openfaas.scale.min: %q is no count up to %d", text, mostReplicas)
	}
	return minimum, nil
}

// fill starts and stops replicas until there are as many as are wanted.
func (b *backend) fill(f *function) error {
	f.replicas = slices.DeleteFunc(f.replicas, func(r *replica) bool { return r.exited() })
	for uint64(len(f.replicas)) < f.wanted {
		b.started++
		id := fmt.Sprintf("%s-%d", f.spec.Service, b.started)
		replica, err := start(id, f.spec, b.mountOf(f), f.log)
		if err != nil {
			return err
		}
		f.replicas = append(f.replicas, replica)
	}
	for uint64(len(f.replicas)) > f.wanted {
		last := f.replicas[len(f.replicas)-1]
		f.replicas = f.replicas[:len(f.replicas)-1]
		go last.stop()
	}
	return nil
}

func (b *backend) delete(w http.ResponseWriter, r *http.Request) {
	done(w, http.StatusAccepted, func() error {
		var request types.DeleteFunctionRequest
		if err := read(r, &request); err != nil {
			return err
		}
		if request.FunctionName == "" {
			return refuse(http.StatusBadRequest, "functionName is required")
		}
		namespace, err := namespaceOf(r, request.Namespace)
		if err != nil {
			return err
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		name := key{namespace, request.FunctionName}
		f := b.functions[name]
		if f == nil {
			return refuse(http.StatusNotFound, "function: %s.%s not found", request.FunctionName, namespace)
		}
		delete(b.functions, name)
		f.log.close()
		go func() {
			f.stop()
			_ = os.RemoveAll(b.mountOf(f))
		}()
		return nil
	}())
}

func (b *backend) scale(w http.ResponseWriter, r *http.Request) {
	done(w, http.StatusAccepted, func() error {
		var request types.ScaleServiceRequest
		if err := read(r, &request); err != nil {
			return err
		}
		namespace, err := namespaceOf(r, request.Namespace)
		if err != nil {
			return err
		}
		if request.Replicas > mostReplicas {
			return refuse(http.StatusBadRequest, "replicas: %d is more than %d", request.Replicas, mostReplicas)
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		name := mux.Vars(r)["name"]
		f := b.functions[key{namespace, name}]
		if f == nil {
			return refuse(http.StatusNotFound, "function: %s.%s not found", name, namespace)
		}
		f.wanted = request.Replicas
		return b.fill(f)
	}())
}

func (b *backend) list(w http.ResponseWriter, r *http.Request) {
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
	all := []types.FunctionStatus{}
	for name, f := range b.functions {
		if name.namespace == namespace {
			all = append(all, f.status())
		}
	}
	slices.SortFunc(all, func(a, b types.FunctionStatus) int { return strings.Compare(a.Name, b.Name) })
	answer(w, http.StatusOK, all)
}

func (b *backend) status(w http.ResponseWriter, r *http.Request) {
	namespace, err := namespaceOf(r, "")
	if err != nil {
		done(w, http.StatusOK, err)
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	f := b.functions[key{namespace, mux.Vars(r)["name"]}]
	if f == nil {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	answer(w, http.StatusOK, f.status())
}

func (f *function) status() types.FunctionStatus {
	var available uint64
	for _, replica := range f.replicas {
		if replica.answers() {
			available++
		}
	}
	labels := map[string]string{}
	if f.spec.Labels != nil {
		for name, value := range *f.spec.Labels {
			labels[name] = value
		}
	}
	labels["faas_function"] = f.spec.Service
	annotations := map[string]string{}
	if f.spec.Annotations != nil {
		annotations = *f.spec.Annotations
	}
	return types.FunctionStatus{
		Name:                   f.spec.Service,
		Image:                  f.spec.Image,
		Namespace:              f.spec.Namespace,
		EnvProcess:             f.spec.EnvProcess,
		EnvVars:                f.spec.EnvVars,
		Constraints:            f.spec.Constraints,
		Secrets:                f.spec.Secrets,
		Labels:                 &labels,
		Annotations:            &annotations,
		Limits:                 f.spec.Limits,
		Requests:               f.spec.Requests,
		ReadOnlyRootFilesystem: f.spec.ReadOnlyRootFilesystem,
		Replicas:               f.wanted,
		AvailableReplicas:      available,
		CreatedAt:              f.created,
	}
}

func (f *function) stop() {
	for _, replica := range append(f.replicas, f.before...) {
		replica.stop()
	}
}

// Resolve is asked by the SDK's proxy where a function is.
func (b *backend) Resolve(dotted string) (url.URL, error) {
	name := key{defaultNamespace, dotted}
	if dot := strings.LastIndexByte(dotted, '.'); dot >= 0 {
		name = key{dotted[dot+1:], dotted[:dot]}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	f := b.functions[name]
	if f == nil {
		return url.URL{}, fmt.Errorf("function: %s not found", dotted)
	}
	f.next++
	for i := range f.replicas {
		replica := f.replicas[(f.next+i)%len(f.replicas)]
		if replica.answers() {
			return url.URL{Scheme: "http", Host: replica.address}, nil
		}
	}
	for _, replica := range f.before {
		if replica.answers() {
			return url.URL{Scheme: "http", Host: replica.address}, nil
		}
	}
	return url.URL{}, fmt.Errorf("function: %s has no replica that answers", dotted)
}

func (b *backend) stopAll() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, f := range b.functions {
		f.stop()
	}
	_ = os.RemoveAll(b.dir)
}

func (b *backend) mountOf(f *function) string {
	return filepath.Join(b.dir, f.spec.Namespace+"."+f.spec.Service)
}

// mount writes the secrets of a function where it reads them.
func (b *backend) mount(f *function) error {
	dir := b.mountOf(f)
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for _, secret := range f.spec.Secrets {
		value := b.values[key{f.spec.Namespace, secret}]
		if err := os.WriteFile(filepath.Join(dir, secret), value, 0o444); err != nil {
			return err
		}
	}
	return nil
}
