package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/openfaas/faas-provider/types"
)

const (
	grace     = 10 * time.Second
	startTime = 10 * time.Second
)

// replica is a child process that serves HTTP.
type replica struct {
	address string
	command *exec.Cmd
	ready   atomic.Bool
	gone    chan struct{}
}

func start(id string, spec types.FunctionDeployment, secrets string, log *functionLog) (*replica, error) {
	process := spec.EnvProcess
	if given, ok := spec.EnvVars["fprocess"]; ok {
		process = given
	}
	words := strings.Fields(process)
	if len(words) == 0 {
		return nil, errors.New("envProcess is required: functions are programs here")
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	address := listener.Addr().String()
	if err := listener.Close(); err != nil {
		return nil, err
	}
	_, port, _ := strings.Cut(address, ":")
	command := exec.Command(words[0], words[1:]...)
	command.Env = []string{
		"PATH=" + os.Getenv("PATH"), "port=" + port, "PORT=" + port, "host=127.0.0.1",
		"OPENFAAS_NAME=" + spec.Service, "OPENFAAS_NAMESPACE=" + spec.Namespace,
		"OPENFAAS_SECRETS_DIR=" + secrets,
	}
	for name, value := range spec.EnvVars {
		command.Env = append(command.Env, fmt.Sprintf("%s=%s", name, value))
	}
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	problems, err := command.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := command.Start(); err != nil {
		return nil, err
	}
	r := &replica{address: address, command: command, gone: make(chan struct{})}
	var lines sync.WaitGroup
	for _, pipe := range []io.Reader{out, problems} {
		lines.Add(1)
		go func() {
			defer lines.Done()
			reader := bufio.NewReader(pipe)
			for {
				line, err := reader.ReadString('\n')
				if line != "" {
					log.add(id, strings.TrimSuffix(line, "\n"))
				}
				if err != nil {
					return
				}
			}
		}()
	}
	go func() {
		lines.Wait()
		_ = command.Wait()
		close(r.gone)
	}()
	go r.wait()
	return r, nil
}

// wait returns once the program listens, or does not in time.
func (r *replica) wait() {
	for end := time.Now().Add(startTime); time.Now().Before(end) && !r.exited(); {
		connection, err := net.Dial("tcp", r.address)
		if err == nil {
			_ = connection.Close()
			r.ready.Store(true)
			return
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func (r *replica) exited() bool {
	select {
	case <-r.gone:
		return true
	default:
		return false
	}
}

func (r *replica) answers() bool { return r.ready.Load() && !r.exited() }

func (r *replica) stop() {
	_ = r.command.Process.Signal(syscall.SIGTERM)
	select {
	case <-r.gone:
	case <-time.After(grace):
		_ = r.command.Process.Kill()
		<-r.gone
	}
}
