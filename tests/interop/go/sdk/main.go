// Command sdk is a client on the real github.com/openfaas/go-sdk, the library on which today's
// faas-cli stands for namespaces and invocations, and with which others call a gateway.
//
// It takes a command and its arguments, calls the provider at OPENFAAS_URL with the credentials in
// OPENFAAS_USER and OPENFAAS_PASSWORD, and prints what it was told.
package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/openfaas/faas-provider/types"
	"github.com/openfaas/go-sdk"
)

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
}

// command is a call of the library with a fixed number of arguments.
type command struct {
	arguments int
	run       func(ctx context.Context, client *sdk.Client, arguments []string) error
}

var commands = map[string]command{
	"info": {0, func(ctx context.Context, c *sdk.Client, _ []string) error {
		info, err := c.GetInfo(ctx)
		if err != nil {
			return err
		}
		fmt.Println(info.Provider.Provider, info.Provider.Orchestration, info.Arch)
		return nil
	}},
	"namespaces": {0, func(ctx context.Context, c *sdk.Client, _ []string) error {
		namespaces, err := c.GetNamespaces(ctx)
		if err != nil {
			return err
		}
		fmt.Println(strings.Join(namespaces, " "))
		return nil
	}},
	"namespace-get": {1, func(ctx context.Context, c *sdk.Client, a []string) error {
		namespace, err := c.GetNamespace(ctx, a[0])
		if err != nil {
			return err
		}
		fmt.Println(namespace.Name, pairs(namespace.Labels), pairs(namespace.Annotations))
		return nil
	}},
	"namespace-create": {2, func(ctx context.Context, c *sdk.Client, a []string) error {
		return status(c.CreateNamespace(ctx, namespace(a)))
	}},
	"namespace-update": {2, func(ctx context.Context, c *sdk.Client, a []string) error {
		return status(c.UpdateNamespace(ctx, namespace(a)))
	}},
	"namespace-remove": {1, func(ctx context.Context, c *sdk.Client, a []string) error {
		return c.DeleteNamespace(ctx, a[0])
	}},
	"deploy": {4, func(ctx context.Context, c *sdk.Client, a []string) error {
		return status(c.Deploy(ctx, deployment(a)))
	}},
	"update": {4, func(ctx context.Context, c *sdk.Client, a []string) error {
		return status(c.Update(ctx, deployment(a)))
	}},
	"functions": {1, func(ctx context.Context, c *sdk.Client, a []string) error {
		functions, err := c.GetFunctions(ctx, a[0])
		if err != nil {
			return err
		}
		for _, function := range functions {
			fmt.Println(describe(function))
		}
		return nil
	}},
	"function": {2, func(ctx context.Context, c *sdk.Client, a []string) error {
		function, err := c.GetFunction(ctx, a[0], a[1])
		if err != nil {
			return err
		}
		fmt.Println(describe(function))
		return nil
	}},
	"scale": {3, func(ctx context.Context, c *sdk.Client, a []string) error {
		replicas, err := strconv.ParseUint(a[2], 10, 64)
		if err != nil {
			return err
		}
		return c.ScaleFunction(ctx, a[0], a[1], replicas)
	}},
	"remove": {2, func(ctx context.Context, c *sdk.Client, a []string) error {
		return c.DeleteFunction(ctx, a[0], a[1])
	}},
	"secrets": {1, func(ctx context.Context, c *sdk.Client, a []string) error {
		secrets, err := c.GetSecrets(ctx, a[0])
		if err != nil {
			return err
		}
		for _, secret := range secrets {
			fmt.Printf("%s.%s %q %q\n", secret.Name, secret.Namespace, secret.Value, secret.RawValue)
		}
		return nil
	}},
	"secret-create": {3, func(ctx context.Context, c *sdk.Client, a []string) error {
		return status(c.CreateSecret(ctx, types.Secret{Name: a[0], Namespace: a[1], Value: a[2]}))
	}},
	"secret-update": {3, func(ctx context.Context, c *sdk.Client, a []string) error {
		return status(c.UpdateSecret(ctx, types.Secret{Name: a[0], Namespace: a[1], Value: a[2]}))
	}},
	"secret-remove": {2, func(ctx context.Context, c *sdk.Client, a []string) error {
		return c.DeleteSecret(ctx, a[0], a[1])
	}},
	"invoke": {3, func(ctx context.Context, c *sdk.Client, a []string) error {
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, "/", strings.NewReader(a[2]))
		if err != nil {
			return err
		}
		response, err := c.InvokeFunction(a[0], a[1], false, false, request)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		fmt.Printf("%d %s\n", response.StatusCode, body)
		return err
	}},
	"logs": {3, func(ctx context.Context, c *sdk.Client, a []string) error {
		tail, err := strconv.Atoi(a[2])
		if err != nil {
			return err
		}
		messages, err := c.GetLogs(ctx, a[0], a[1], false, tail, nil)
		if err != nil {
			return err
		}
		for message := range messages {
			fmt.Printf("%s.%s %s\n", message.Name, message.Namespace, message.Text)
		}
		return nil
	}},
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("no command")
	}
	command, known := commands[args[0]]
	if !known || len(args)-1 != command.arguments {
		return fmt.Errorf("no command %q with %d arguments", args[0], len(args)-1)
	}
	gateway, err := url.Parse(os.Getenv("OPENFAAS_URL"))
	if err != nil {
		return err
	}
	auth := &sdk.BasicAuth{
		Username: os.Getenv("OPENFAAS_USER"),
		Password: os.Getenv("OPENFAAS_PASSWORD"),
	}
	return command.run(ctx, sdk.NewClient(gateway, auth, http.DefaultClient), args[1:])
}

func status(code int, err error) error {
	if err == nil {
		fmt.Println(code, http.StatusText(code))
	}
	return err
}

// namespace has a label given as KEY=VALUE.
func namespace(arguments []string) types.FunctionNamespace {
	key, value, _ := strings.Cut(arguments[1], "=")
	return types.FunctionNamespace{Name: arguments[0], Labels: map[string]string{key: value}}
}

func deployment(arguments []string) types.FunctionDeployment {
	return types.FunctionDeployment{
		Service: arguments[0], Namespace: arguments[1], Image: arguments[2], EnvProcess: arguments[3],
	}
}

func describe(function types.FunctionStatus) string {
	return fmt.Sprintf("%s.%s %s %q %d/%d %t", function.Name, function.Namespace, function.Image,
		function.EnvProcess, function.AvailableReplicas, function.Replicas, !function.CreatedAt.IsZero())
}

func pairs(values map[string]string) string {
	var all []string
	for key, value := range values {
		all = append(all, key+"="+value)
	}
	sort.Strings(all)
	return strings.Join(all, ",")
}
