// Command interop is the Go side of the wire tests: it knows what Go's own types write and read.
//
//	interop write DIR   writes the golden files
//	interop check DIR   says which golden files are not what this program would write
//	interop echo        reads lines of TYPE, blank, JSON and answers each with the JSON that Go
//	                    writes for what it read, or with "error: " and why it could not read it
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"sort"
	"strings"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "interop:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	switch {
	case len(args) == 2 && args[0] == "write":
		return write(args[1])
	case len(args) == 2 && args[0] == "check":
		return check(args[1])
	case len(args) == 1 && args[0] == "echo":
		return echo()
	default:
		return fmt.Errorf("usage: interop write DIR | check DIR | echo")
	}
}

// golden gives the content of every golden file by its name.
func golden() (map[string][]byte, error) {
	files := map[string][]byte{}
	for name, value := range samples() {
		body, err := json.Marshal(value)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		files[name+".json"] = body
	}
	reading, err := indented(readings())
	if err != nil {
		return nil, err
	}
	files["reading.json"] = reading
	urls, err := indented(callbackURLs())
	if err != nil {
		return nil, err
	}
	files["callback_urls.json"] = urls
	return files, nil
}

func indented(value any) ([]byte, error) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetIndent("", "  ")
	err := encoder.Encode(value)
	return out.Bytes(), err
}

func write(dir string) error {
	files, err := golden()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for name, body := range files {
		if err := os.WriteFile(filepath.Join(dir, name), body, 0o644); err != nil {
			return err
		}
	}
	return nil
}

func check(dir string) error {
	files, err := golden()
	if err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	var wrong []string
	for _, entry := range entries {
		if _, known := files[entry.Name()]; !known {
			wrong = append(wrong, entry.Name()+" is no golden file")
		}
	}
	for name, body := range files {
		committed, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			wrong = append(wrong, err.Error())
		} else if !bytes.Equal(committed, body) {
			wrong = append(wrong, name+" is not what Go writes now")
		}
	}
	if len(wrong) > 0 {
		sort.Strings(wrong)
		return fmt.Errorf("%s", strings.Join(wrong, "\n"))
	}
	return nil
}

func echo() error {
	in := bufio.NewReader(os.Stdin)
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	for {
		line, err := in.ReadString('\n')
		if line == "" {
			return nil
		}
		if err != nil {
			return err
		}
		name, body, found := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		if !found {
			return fmt.Errorf("no type in %q", line)
		}
		answer, err := reread(name, []byte(body))
		if err != nil {
			fmt.Fprintf(out, "error: %v\n", err)
		} else {
			fmt.Fprintf(out, "%s\n", answer)
		}
	}
}

// reread reads a body into a new value of a named type and writes that value again.
func reread(name string, body []byte) ([]byte, error) {
	typ, known := wireTypes[name]
	if !known {
		return nil, fmt.Errorf("no type %q", name)
	}
	value := reflect.New(typ)
	if err := json.Unmarshal(body, value.Interface()); err != nil {
		return nil, err
	}
	return json.Marshal(value.Interface())
}
