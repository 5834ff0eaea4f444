package importer

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"
)

// The vector of https://github.com/fernet/spec (verify.json), and what its
// invalid.json has wrong with it.
const (
	fernetKey   = "cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4="
	fernetToken = "gAAAAAAdwJ6wAAECAwQFBgcICQoLDA0ODy021cpGVWKZ_eEwCGM4BLLF_5CV9dOPmrhuVUPgJobwOz7JcbmrR64jVmpU4IwqDA=="
)

func TestFernetVector(t *testing.T) {
	key, err := base64.URLEncoding.DecodeString(fernetKey)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := openFernet(key, fernetToken); err != nil || got != "hello" {
		t.Errorf("opened to something else: %v", err)
	}
	for name, token := range map[string]string{
		"incorrect mac":        "gAAAAAAdwJ6xAAECAwQFBgcICQoLDA0OD3HkMATM5lFqGaerZ-fWPAl1-szkFVzXTuGb4hR8AKtwcaX1YdykQUFBQUFBQUFBQQ==",
		"too short":            "gAAAAAAdwJ6xAAECAwQFBgcICQoLDA0OD3HkMATM5lFqGaerZ-fWPA==",
		"invalid base64":       "%%%%%%%%%%%%%AECAwQFBgcICQoLDA0OD3HkMATM5lFqGaerZ-fWPAl1-szkFVzXTuGb4hR8AKtwcaX1YdykRtfsH-p1YsUD2Q==",
		"payload size":         "gAAAAAAdwJ6xAAECAwQFBgcICQoLDA0OD3HkMATM5lFqGaerZ-fWPOm73QeoCk9uGib28Xe5vz6oxq5nmxbx_v7mrfyudzUm",
		"payload padding":      "gAAAAAAdwJ6xAAECAwQFBgcICQoLDA0ODz4LEpdELGQAad7aNEHbf-JkLPIpuiYRLQ3RtXatOYREu2FWke6CnJNYIbkuKNqOhw==",
		"incorrect IV":         "gAAAAAAdwJ6xBQECAwQFBgcICQoLDA0OD3HkMATM5lFqGaerZ-fWPAkLhFLHpGtDBRLRTZeUfWgHSv49TF2AUEZ1TIvcZjK1zQ==",
		"another version":      "gQ" + fernetToken[2:],
		"nothing":              "",
		"a character too many": fernetToken[:len(fernetToken)-2] + "A==",
	} {
		if _, err := openFernet(key, token); !errors.Is(err, errFernet) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := openFernet(key[:16], fernetToken); !errors.Is(err, errFernet) {
		t.Errorf("half a key: %v", err)
	}
}

func TestLock(t *testing.T) {
	for _, l := range []lock{{"", 1}, {"%", 1}, {"AAAA", 0}, {"AAAA", mostIterations + 1}} {
		if _, err := l.open(password, fernetToken); err == nil || errors.Is(err, errFernet) || !strings.Contains(err.Error(), "token_") {
			t.Errorf("%+v: %v", l, err)
		}
	}
}
