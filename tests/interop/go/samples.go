package main

import (
	"math"
	"net/http"
	"net/url"
	"reflect"
	"time"

	"github.com/openfaas/faas-provider/logs"
	"github.com/openfaas/faas-provider/types"
)

// GatewayInfo has the shape that a gateway answers; its own module is not open source.
type GatewayInfo struct {
	Provider *types.ProviderInfo `json:"provider"`
	Version  *types.VersionInfo  `json:"version"`
	Arch     string              `json:"arch"`
}

// PrometheusAlert has the shape that an Alertmanager posts, as far as it is read.
type PrometheusAlert struct {
	Status   string  `json:"status"`
	Receiver string  `json:"receiver"`
	Alerts   []Alert `json:"alerts"`
}

type Alert struct {
	Status string      `json:"status"`
	Labels AlertLabels `json:"labels"`
}

type AlertLabels struct {
	AlertName    string `json:"alertname"`
	FunctionName string `json:"function_name"`
}

var wireTypes = map[string]reflect.Type{
	"APIAccessEvent":        reflect.TypeFor[types.APIAccessEvent](),
	"DeleteFunctionRequest": reflect.TypeFor[types.DeleteFunctionRequest](),
	"FunctionDeployment":    reflect.TypeFor[types.FunctionDeployment](),
	"FunctionNamespace":     reflect.TypeFor[types.FunctionNamespace](),
	"FunctionStatus":        reflect.TypeFor[types.FunctionStatus](),
	"FunctionStatusList":    reflect.TypeFor[[]types.FunctionStatus](),
	"FunctionUsage":         reflect.TypeFor[types.FunctionUsage](),
	"FunctionUsageEvent":    reflect.TypeFor[types.FunctionUsageEvent](),
	"FunctionUsageList":     reflect.TypeFor[[]types.FunctionUsage](),
	"GatewayInfo":           reflect.TypeFor[GatewayInfo](),
	"Message":               reflect.TypeFor[logs.Message](),
	"PrometheusAlert":       reflect.TypeFor[PrometheusAlert](),
	"ProviderInfo":          reflect.TypeFor[types.ProviderInfo](),
	"QueueRequest":          reflect.TypeFor[types.QueueRequest](),
	"ScaleServiceRequest":   reflect.TypeFor[types.ScaleServiceRequest](),
	"Secret":                reflect.TypeFor[types.Secret](),
	"Strings":               reflect.TypeFor[[]string](),
	"Times":                 reflect.TypeFor[[]time.Time](),
}

const hostile = "<b>&\"'/\\\u2028\u2029\x00\x01\x1f\b\f\n\r\t\x7f\u00e9\U0001F600\ufffd"

var created = time.Date(2026, time.November, 22, 15, 4, 5, 120_000_000, time.UTC)

// samples gives the values of the golden files by their names.
func samples() map[string]any {
	return map[string]any{
		"deployment_zero": types.FunctionDeployment{},
		"deployment_null_maps": types.FunctionDeployment{
			Service: "f", Image: "i",
			Labels: new(map[string]string), Annotations: new(map[string]string),
		},
		"deployment_empty_maps": types.FunctionDeployment{
			Service: "f", Image: "i",
			EnvVars: map[string]string{}, Constraints: []string{}, Secrets: []string{},
			Labels: &map[string]string{}, Annotations: &map[string]string{},
			Limits: &types.FunctionResources{}, Requests: &types.FunctionResources{},
		},
		"deployment_full": types.FunctionDeployment{
			Service: "figlet", Image: "ghcr.io/openfaas/figlet:latest", Namespace: "staging",
			EnvProcess:  "sh -c 'a && b > c'",
			EnvVars:     map[string]string{"Z": "last", "A": "a=b=c", "<&>": hostile, "é": "", "": "empty"},
			Constraints: []string{"node.role == worker", ""},
			Secrets:     []string{"api-key", "b"},
			Labels:      &map[string]string{"com.openfaas.scale.min": "2", "a<b": "c&d"},
			Annotations: &map[string]string{"topic": "a,b", "json": "{\n  \"k\": 1\n}"},
			Limits: &types.FunctionResources{
				Memory: "128Mi", CPU: "1000m", NvidiaGPU: "1", AmdGPU: "2", IntelGPU: "3",
			},
			Requests:               &types.FunctionResources{CPU: "0.50"},
			ReadOnlyRootFilesystem: true,
		},
		"status_bare": types.FunctionStatus{
			Name: "f", Image: "i", Namespace: "openfaas-fn",
			Labels: &map[string]string{}, Annotations: &map[string]string{},
		},
		"status_full": types.FunctionStatus{
			Name: "figlet", Image: "ghcr.io/openfaas/figlet:latest", Namespace: "staging",
			EnvProcess: "figlet", EnvVars: map[string]string{"A": hostile},
			Constraints: []string{"a"}, Secrets: []string{"s"},
			Labels: &map[string]string{"faas_function": "figlet"}, Annotations: &map[string]string{"a": "<>"},
			Limits:                 &types.FunctionResources{Memory: "1Gi"},
			Requests:               &types.FunctionResources{},
			ReadOnlyRootFilesystem: true,
			InvocationCount:        1234567.5, Replicas: math.MaxUint64, AvailableReplicas: 1,
			CreatedAt: created,
			Usage:     &types.FunctionUsage{CPU: 250, TotalMemoryBytes: 12_582_912},
		},
		"status_zero_usage": types.FunctionStatus{
			Name: "f", Image: "i",
			Labels: &map[string]string{}, Annotations: &map[string]string{},
			InvocationCount: math.Copysign(0, -1),
			Usage:           &types.FunctionUsage{},
		},
		"status_list": []types.FunctionStatus{
			{Name: "a", Labels: &map[string]string{}, Annotations: &map[string]string{}, Replicas: 1},
			{Name: "b", Labels: &map[string]string{}, Annotations: &map[string]string{}, CreatedAt: created},
		},
		"status_list_empty": []types.FunctionStatus{},
		"usage_floats":      floats(),
		"scale_zero":        types.ScaleServiceRequest{},
		"scale": types.ScaleServiceRequest{
			ServiceName: "f", Replicas: math.MaxUint64, Namespace: "staging",
		},
		"delete_zero":       types.DeleteFunctionRequest{},
		"delete":            types.DeleteFunctionRequest{FunctionName: "f", Namespace: "staging"},
		"info_null_version": types.ProviderInfo{Name: "p", Orchestration: "o"},
		"info": types.ProviderInfo{
			Name: "p", Orchestration: "o",
			Version: &types.VersionInfo{SHA: "abc", Release: "1.2.3"},
		},
		"info_commit": types.ProviderInfo{
			Version: &types.VersionInfo{CommitMessage: "Merge <a> & b", SHA: "abc", Release: "1.2.3"},
		},
		"gateway_zero": GatewayInfo{},
		"gateway": GatewayInfo{
			Provider: &types.ProviderInfo{
				Name: "p", Orchestration: "o",
				Version: &types.VersionInfo{SHA: "abc", Release: "1.2.3"},
			},
			Version: &types.VersionInfo{SHA: "def", Release: "4.5.6"},
			Arch:    "x86_64",
		},
		"namespace_zero": types.FunctionNamespace{},
		"namespace_empty_maps": types.FunctionNamespace{
			Name: "n", Annotations: map[string]string{}, Labels: map[string]string{},
		},
		"namespace": types.FunctionNamespace{
			Name:        "n",
			Annotations: map[string]string{"openfaas": "1"}, Labels: map[string]string{"openfaas": "1"},
		},
		"secret_listed": types.Secret{Name: "s", Namespace: "n"},
		"secret_empty":  types.Secret{Name: "s", RawValue: []byte{}},
		"secret": types.Secret{
			Name: "s", Namespace: "n", Value: hostile, RawValue: []byte{0, 0xff, 0xfe, 1, '<'},
		},
		"message_zero": logs.Message{},
		"message": logs.Message{
			Name: "f", Namespace: "n", Instance: "f-1", Timestamp: created, Text: hostile,
		},
		"queue_zero": types.QueueRequest{},
		"queue_empty": types.QueueRequest{
			Header: http.Header{}, Body: []byte{}, Method: "POST", Function: "f",
			Annotations: map[string]string{}, CallbackURL: &url.URL{},
		},
		"queue_full": types.QueueRequest{
			Header: http.Header{"X-Call-Id": {"1", "2"}, "A": {}, "B": {"<&>"}},
			Host:   "gw:8080", Body: []byte("hi\x00\xff"), Method: "PUT", Path: "/x/<y>",
			QueryString: "a=1&b=%2F", Function: "f.n", QueueName: "slow",
			Annotations: map[string]string{"topic": "t"}, Labels: map[string]string{"l": "1"},
			Environment: map[string]string{"E": "2"},
			CallbackURL: mustParse("https://user:pass@cb:8080/p%2Fq?x=1&y#frag"),
		},
		"usage_event_zero": types.FunctionUsageEvent{},
		"usage_event": types.FunctionUsageEvent{
			Namespace: "n", FunctionName: "f", Started: created,
			Duration: 1500 * time.Millisecond, MemoryBytes: -1,
		},
		"access_event_zero": types.APIAccessEvent{},
		"access_event": types.APIAccessEvent{
			Actor: &types.Actor{Sub: "s", Name: "n", Issuer: "i", FedIssuer: "f"},
			Path:  "/system/functions", Method: "GET", Actions: []string{},
			ResponseCode: 200, CustomMessage: "<m>", Namespace: "n", Time: created,
		},
		"alert_zero": PrometheusAlert{Alerts: []Alert{}},
		"alert": PrometheusAlert{
			Status: "firing", Receiver: "scale-up",
			Alerts: []Alert{{
				Status: "firing",
				Labels: AlertLabels{AlertName: "APIHighInvocationRate", FunctionName: "f.n"},
			}},
		},
		"strings": everyCharacter(),
		"times":   times(),
	}
}

func floats() []types.FunctionUsage {
	var usages []types.FunctionUsage
	for _, value := range []float64{
		0, math.Copysign(0, -1), 1, -1, 0.1, 1.0 / 3, 100, 1e6, 123456789.125, 1e20, 1e21, -1e21, 1.5e21, 1e22,
		1e100, 1e-5, 1e-6, 9.9e-7, 1e-7, -1e-7, 1.5e-9, 1e-10, 1e-100, 9007199254740993,
		math.MaxFloat64, math.SmallestNonzeroFloat64, 5e-324, 2.2250738585072014e-308, 4.35, 0.3,
	} {
		usages = append(usages, types.FunctionUsage{CPU: value, TotalMemoryBytes: -value})
	}
	return usages
}

// everyCharacter gives a string for each character of the ranges where escapes begin or end.
func everyCharacter() []string {
	var all []string
	for _, ends := range [][2]rune{{0, 0x24f}, {0x2020, 0x2030}, {0xd7fe, 0xd7ff}, {0xe000, 0xe001}, {0xfff8, 0xffff}, {0x1f600, 0x1f601}, {0x10fffe, 0x10ffff}} {
		for r := ends[0]; r <= ends[1]; r++ {
			all = append(all, string(r))
		}
	}
	return append(all, hostile+hostile, "</script>", "plain", "")
}

func times() []time.Time {
	return []time.Time{
		{},
		time.Unix(0, 0).UTC(),
		time.Unix(-1, 999_999_999).UTC(),
		time.Unix(-1, 1).UTC(),
		created,
		created.Add(3 * time.Nanosecond),
		created.Add(3 * time.Microsecond),
		time.Date(2024, time.February, 29, 23, 59, 59, 0, time.UTC),
		time.Date(1900, time.March, 1, 0, 0, 0, 0, time.UTC),
		time.Date(2000, time.February, 29, 0, 0, 0, 0, time.UTC),
		time.Date(2100, time.March, 1, 0, 0, 0, 0, time.UTC),
		time.Date(0, time.January, 1, 0, 0, 0, 0, time.UTC),
		time.Date(1, time.January, 1, 0, 0, 0, 1, time.UTC),
		time.Date(9999, time.December, 31, 23, 59, 59, 999_999_999, time.UTC),
	}
}

func mustParse(text string) *url.URL {
	parsed, err := url.Parse(text)
	if err != nil {
		panic(err)
	}
	return parsed
}

// CallbackURL is one golden case: a URL as text, as an object, and put together again.
type CallbackURL struct {
	Text  string   `json:"text"`
	URL   *url.URL `json:"url"`
	Again string   `json:"again"`
}

func callbackURLs() []CallbackURL {
	var cases []CallbackURL
	for _, text := range []string{
		"http://cb",
		"http://cb:8080/p",
		"HTTP://CB/P",
		"https://[::1]:8080/p?x=1",
		"http://cb/a%2Fb/c",
		"http://cb/a%2fb",
		"http://cb/%C3%A9",
		"http://cb/é",
		"http://cb/a%20b",
		"http://cb/(x)!*'",
		"http://cb/a:b;c=d,e@f$g&h+i~j",
		"http://cb/%7E",
		"http://cb?",
		"http://cb/?",
		"http://cb/?a=1&b=%2F#f",
		"http://cb/p#a%20b",
		"http://cb/p#(a)%21",
		"http://cb/p?x#",
		"http://cb/a?b?c",
		"http://cb//double//slash/",
		"file:/x",
		"mailto:someone",
		"mailto:someone?subject=x",
	} {
		parsed := mustParse(text)
		cases = append(cases, CallbackURL{Text: text, URL: parsed, Again: parsed.String()})
	}
	return cases
}
