package tokens

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

// TestMain lets the test binary play a second process over one store: tests run it
// with childEnv set to its part.
func TestMain(m *testing.M) {
	if part := os.Getenv(childEnv); part != "" {
		os.Exit(child(part))
	}
	goleak.VerifyTestMain(m)
}
