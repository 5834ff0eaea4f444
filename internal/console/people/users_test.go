package people_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"authferry/internal/console/people"
)

// TestVerifierIsNotPrinted: only JSON, which the store seals, has the hash of a
// password. A logger that takes any value prints none.
func TestVerifierIsNotPrinted(t *testing.T) {
	const canary = "canary-of-a-hash"
	var v people.Verifier
	if err := json.Unmarshal([]byte(`"`+canary+`"`), &v); err != nil {
		t.Fatal(err)
	}
	if text, err := json.Marshal(v); err != nil || string(text) != `"`+canary+`"` {
		t.Errorf("JSON is %s, %v", text, err)
	}
	var printed bytes.Buffer
	log := zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(zapcore.EncoderConfig{MessageKey: "m"}), zapcore.AddSync(&printed), zap.DebugLevel))
	log.Info("x", zap.Any("v", v), zap.Any("p", &v))
	u := people.User{Password: v}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		fmt.Fprintf(&printed, verb+verb+verb+verb, v, &v, u, &u)
	}
	hex := fmt.Sprintf("%x", canary)
	if got := printed.String(); strings.Contains(got, canary) || strings.Contains(got, hex) {
		t.Errorf("printed: %s", got)
	}
}
