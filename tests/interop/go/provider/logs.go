package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/openfaas/faas-provider/logs"
)

// keptLines is how many lines of a function are kept.
const keptLines = 10_000

// functionLog is what a function wrote.
type functionLog struct {
	name, namespace string

	mu     sync.Mutex
	lines  []logs.Message
	first  int
	closed bool
	news   chan struct{}
}

func newFunctionLog(name, namespace string) *functionLog {
	return &functionLog{name: name, namespace: namespace, news: make(chan struct{})}
}

func (l *functionLog) add(instance, text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, logs.Message{
		Name: l.name, Namespace: l.namespace, Instance: instance, Timestamp: time.Now().UTC(), Text: text,
	})
	if excess := len(l.lines) - keptLines; excess > 0 {
		l.lines, l.first = l.lines[excess:], l.first+excess
	}
	l.tell()
}

func (l *functionLog) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	l.tell()
}

// tell wakes whoever follows.
func (l *functionLog) tell() {
	close(l.news)
	l.news = make(chan struct{})
}

// after gives the lines from a number on, the number of the next one, what tells of it, and whether
// one may come.
func (l *functionLog) after(number int) ([]logs.Message, int, chan struct{}, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	from := max(number-l.first, 0)
	lines := append([]logs.Message{}, l.lines[min(from, len(l.lines)):]...)
	return lines, l.first + len(l.lines), l.news, !l.closed
}

// Query answers the SDK's log handler.
func (b *backend) Query(ctx context.Context, request logs.Request) (<-chan logs.Message, error) {
	namespace := request.Namespace
	if namespace == "" {
		namespace = defaultNamespace
	}
	b.mu.Lock()
	f := b.functions[key{namespace, request.Name}]
	b.mu.Unlock()
	if f == nil {
		return nil, errors.New("function not found")
	}
	wanted := func(line logs.Message) bool {
		return (request.Instance == "" || request.Instance == line.Instance) &&
			(request.Since == nil || !line.Timestamp.Before(*request.Since))
	}
	history, next, news, more := f.log.after(0)
	old := history[:0]
	for _, line := range history {
		if wanted(line) {
			old = append(old, line)
		}
	}
	if request.Tail > 0 && len(old) > request.Tail {
		old = old[len(old)-request.Tail:]
	}
	messages := make(chan logs.Message)
	go func() {
		defer close(messages)
		lines := old
		for {
			for _, line := range lines {
				if !wanted(line) {
					continue
				}
				select {
				case messages <- line:
				case <-ctx.Done():
					return
				}
			}
			if !request.Follow || !more {
				return
			}
			select {
			case <-news:
			case <-ctx.Done():
				return
			}
			lines, next, news, more = f.log.after(next)
		}
	}()
	return messages, nil
}
