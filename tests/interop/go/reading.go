package main

import (
	"encoding/base64"
	"strings"
	"unicode/utf8"
)

// Reading is one golden case of reading: what a body means to Go, or that Go refuses it.
type Reading struct {
	Type    string `json:"type"`
	Body    string `json:"body,omitempty"`
	Base64  string `json:"base64,omitempty"` // where the body is no UTF-8
	Means   string `json:"means,omitempty"`  // what Go writes for what it read
	Refused bool   `json:"refused,omitempty"`
}

func readings() []Reading {
	cases := map[string][]string{
		"FunctionDeployment": {
			``, ` `, `null`, `{}`, ` {} `, `[]`, `"x"`, `1`, `true`, `{`, `{}x`, `{}{}`, `{},`, `{'a':1}`, `{"a":1,}`,
			"\ufeff{}", `{"service":"f","image":"i"}`, "{\n\t\"service\" :\r \"f\" }",
			// Keys in any case, and the two letters outside ASCII that fold into it.
			`{"SERVICE":"f","Image":"i","nameSpace":"n"}`, `{"ſervice":"f"}`, `{"labelſ":{"a":"b"}}`,
			`{"service ":"f"}`, `{"s\u0065rvice":"f"}`, `{"":"x"}`,
			// Keys that are not known, whatever they hold.
			`{"network":"x","registryAuth":{"a":[1,{"b":null}]},"service":"f"}`,
			`{"x":1e999,"service":"f"}`, `{"x":01}`, `{"x":"\x"}`,
			`{"x":` + strings.Repeat("[", 500) + strings.Repeat("]", 500) + `,"service":"f"}`,
			// null.
			`{"service":null,"image":null,"envVars":null,"secrets":null,"labels":null,"limits":null,"readOnlyRootFilesystem":null}`,
			`{"service":"f","service":null}`, `{"labels":{"a":null}}`, `{"envVars":{"a":null,"b":"c"}}`,
			`{"secrets":["a",null,"b"]}`, `{"labels":{"a":"b"},"labels":null}`, `{"limits":{"memory":null}}`,
			`{"readOnlyRootFilesystem":true,"readOnlyRootFilesystem":null}`,
			// The last of two wins.
			`{"service":"a","service":"b"}`, `{"service":"a","SERVICE":"b"}`, `{"secrets":["a","b"],"secrets":["c"]}`,
			`{"labels":{"a":"1","a":"2"}}`,
			// Wrong kinds.
			`{"service":1}`, `{"service":true}`, `{"service":{}}`, `{"service":[]}`, `{"labels":[]}`, `{"labels":"x"}`,
			`{"labels":{"a":1}}`, `{"labels":{"a":true}}`, `{"labels":{"a":{}}}`, `{"secrets":{}}`, `{"secrets":"x"}`,
			`{"secrets":[1]}`, `{"limits":"x"}`, `{"limits":[]}`, `{"limits":{"memory":128}}`,
			`{"readOnlyRootFilesystem":"true"}`, `{"readOnlyRootFilesystem":1}`,
			// Empty is not absent.
			`{"labels":{},"annotations":{},"limits":{},"envVars":{},"secrets":[]}`,
			`{"limits":{"MEMORY":"1Gi","NVIDIA.COM/GPU":"1"}}`,
			// Strings.
			`{"service":"\u003cb\u003e\/\b\f\n\r\t\"\\"}`, "{\"service\":\"a\nb\"}", "{\"service\":\"a\x00b\"}",
			`{"service":"\ud83d\ude00"}`, `{"service":"\ud83d"}`, `{"service":"\ude00"}`, `{"service":"\ud83dx"}`,
			`{"service":"\ud83d\ud83d\ude00"}`, `{"service":"\ud83d\u0041"}`, `{"service":"\\ud83d"}`,
			`{"service":"\uD83D\uDE00"}`, `{"service":"\u12"}`, `{"service":"\'"}`, `{"service":"abc`,
			"{\"service\":\"a\xffb\xfe\xfd\"}", "{\"service\":\"\xe2\x82\"}", "{\"service\":\"\xed\xa0\x80\"}",
			"{\"service\":\"\xf0\x9f\x98\"}", "{\"labels\":{\"k\xff\":\"v\xff\"}}", "{\"serv\xffice\":\"f\"}",
			"\xff{}", "{\"service\":\"\u2028\u2029\x7f\"}", `{"service":"\u0000"}`,
		},
		"ScaleServiceRequest": {
			`{"replicas":0}`, `{"replicas":18446744073709551615}`, `{"replicas":18446744073709551616}`,
			`{"replicas":1.0}`, `{"replicas":1.5}`, `{"replicas":1e3}`, `{"replicas":1E0}`, `{"replicas":-1}`,
			`{"replicas":-0}`, `{"replicas":"1"}`, `{"replicas":true}`, `{"replicas":null}`, `{"replicas":[1]}`,
			`{"replicas":01}`, `{"replicas":+1}`, `{"replicas":1,"Replicas":2}`, `{"replicas":2,"replicas":null}`,
			`{"serviceName":"f","replicas":3,"namespace":"n","x":1}`,
		},
		"FunctionStatus": {
			`{"name":"f","image":"i","labels":{},"annotations":{},"replicas":2,"invocationCount":3}`,
			`{"labels":{},"annotations":{},"invocationCount":1.5e300}`, `{"invocationCount":1e400}`,
			`{"invocationCount":-1e400}`, `{"invocationCount":"1"}`, `{"invocationCount":NaN}`,
			`{"labels":{},"annotations":{},"invocationCount":0.1,"usage":{"cpu":1e-7,"totalMemoryBytes":1E21}}`,
			`{"labels":{},"annotations":{},"invocationCount":1e-400}`,
			`{"labels":{},"annotations":{},"invocationCount":179769313486231570000000000000000000000}`,
			`{"labels":{},"annotations":{},"createdAt":null}`,
			`{"labels":{},"annotations":{},"createdAt":"2026-11-22T15:04:05Z"}`,
			`{"labels":{},"annotations":{},"createdAt":"2026-11-22T15:04:05.120Z"}`,
			`{"labels":{},"annotations":{},"createdAt":"2026-11-22T15:04:05.123456789987Z"}`,
			`{"labels":{},"annotations":{},"createdAt":"0001-01-01T00:00:00Z"}`,
			`{"createdAt":""}`, `{"createdAt":0}`, `{"createdAt":"2026-11-22"}`, `{"createdAt":"2026-11-22 15:04:05Z"}`,
			`{"createdAt":"2026-11-22T15:04:05"}`, `{"createdAt":"2026-11-22T24:00:00Z"}`,
			`{"createdAt":"2026-11-22T15:04:60Z"}`, `{"createdAt":"2026-02-29T00:00:00Z"}`,
			`{"labels":{},"annotations":{},"createdAt":"2026-11-22T5:04:05Z"}`, `{"labels":{},"annotations":{},"createdAt":"2026-11-22T15:04:05,5Z"}`,
			`{"createdAt":"2026-11-22t15:04:05z"}`, `{"createdAt":"2026-11-22T15:04:05.Z"}`,
			`{"createdAt":"2026-11-22T15:04:05+24:00"}`,
			`{"labels":{},"annotations":{},"usage":{}}`, `{"labels":{},"annotations":{},"usage":null}`,
		},
		"FunctionStatusList": {`[]`, `{}`, `[{"name":"f","labels":{},"annotations":{}}]`, `[1]`, `[{},]`},
		"Secret": {
			`{"name":"s","value":"v"}`, `{"name":"s","rawValue":"AP/+"}`, `{"rawValue":"aGk="}`, `{"rawValue":"aGk"}`,
			`{"rawValue":"aGk=="}`, `{"rawValue":"aG\nk=\r\n"}`, `{"rawValue":"aG k="}`, `{"rawValue":"_-8="}`,
			`{"rawValue":"/+8="}`, `{"rawValue":""}`, `{"rawValue":null}`, `{"rawValue":1}`, `{"rawValue":"aGl="}`,
			`{"rawValue":"!"}`, `{"value":1}`, `{"RAWVALUE":"aGk="}`,
		},
		"Message":           {`{}`, `{"text":"x\n","timestamp":"2026-11-22T15:04:05Z"}`, `{"timestamp":"x"}`},
		"FunctionNamespace": {`{"name":"n","labels":{"openfaas":"1"}}`, `{"labels":null}`, `{"name":1}`},
		"ProviderInfo":      {`{}`, `{"provider":"p","version":{"sha":"a"}}`, `{"version":"1"}`},
		"QueueRequest": {
			`{"Method":"POST","Function":"f"}`, `{"method":"POST","FUNCTION":"f","callbackurl":null}`,
			`{"Header":{"A":["b"],"C":[]},"Body":"aGk="}`, `{"Header":{"A":"b"}}`, `{"Header":{"A":[null]}}`,
			`{"CallbackUrl":{}}`, `{"CallbackUrl":{"Host":"cb","Scheme":"http"}}`,
			`{"CallbackUrl":{"OmitHost":true,"ForceQuery":false,"RawPath":"/a%2Fb","Path":"/a/b","User":{},"Scheme":"http","Host":"cb"}}`,
			`{"CallbackUrl":{"Path":"/p","RawPath":"","OmitHost":false,"ForceQuery":true,"RawQuery":"a","Fragment":"f","RawFragment":""}}`,
			`{"CallbackUrl":{"User":null}}`, `{"CallbackUrl":{"Port":1}}`, `{"CallbackUrl":{"Host":1}}`, `{"CallbackUrl":[]}`, "{\"Callbac\u212aUrl\":{}}",
			`{"CallbackUrl":1}`,
		},
		"FunctionUsageEvent": {
			`{"duration":1500000000,"memory_bytes":-5}`, `{"duration":9223372036854775808}`, `{"duration":"1s"}`,
			`{"duration":-9223372036854775808}`, `{"duration":1.0}`,
		},
		"APIAccessEvent": {`{"actions":null}`, `{"actions":[]}`, `{"actions":["a"],"actor":{"sub":"s"},"response_code":200}`, `{"actor":null}`},
	}
	order := []string{
		"FunctionDeployment", "ScaleServiceRequest", "FunctionStatus", "FunctionStatusList", "Secret", "Message",
		"FunctionNamespace", "ProviderInfo", "QueueRequest", "FunctionUsageEvent", "APIAccessEvent",
	}
	var readings []Reading
	for _, name := range order {
		for _, body := range cases[name] {
			reading := Reading{Type: name}
			if utf8.ValidString(body) {
				reading.Body = body
			} else {
				reading.Base64 = base64.StdEncoding.EncodeToString([]byte(body))
			}
			means, err := reread(name, []byte(body))
			reading.Means, reading.Refused = string(means), err != nil
			readings = append(readings, reading)
		}
	}
	return readings
}
