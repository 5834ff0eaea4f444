package tokens

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

// TestMain lets the test binary play a second process: tests of what two of
// them do to one store run it again with childEnv naming the part.
func TestMain(m *testing.M) {
	if part := os.Getenv(childEnv); part != "" {
		os.Exit(child(part))
	}
	goleak.VerifyTestMain(m)
}
