//go:build unix

package tokencommand

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"authferry/internal/printable"
)

// TestSlots: at most cap(slots) programs run at a time, and a caller that stops waiting
// for a slot has run nothing.
func TestSlots(t *testing.T) {
	command := Command{Args: []string{"/bin/sh", "-c", "echo CANARY"}, Mailbox: "me@gmail.com", Provider: "command", Timeout: time.Minute}
	for range cap(slots) {
		slots <- struct{}{}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := Run(ctx, command)
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "was not run") {
		t.Error(err)
	}
	for range cap(slots) {
		<-slots
	}
	if output, err := Run(t.Context(), command); err != nil || output.Stdout.Reveal() != "CANARY\n" {
		t.Errorf("%q, %v", output.Stdout.Reveal(), err)
	}
	if len(slots) != 0 {
		t.Errorf("%d slots are still taken", len(slots))
	}
}

// TestComplaintKeepsWords: words that are not secrets stay readable.
func TestComplaintKeepsWords(t *testing.T) {
	for _, line := range []string{
		"ERROR: (gcloud.auth.print-access-token) There was a problem refreshing auth tokens",
		"/usr/local/lib/python3.11/site-packages/azure/cli/core/auth/identity.py:120: please run az login",
	} {
		stderr := &bounded{most: maxStderr}
		stderr.Write([]byte("\n  " + line + "\nmore"))
		if got := complaint(stderr, &bounded{}); got != ": it said "+printable.Quote(line) {
			t.Errorf("%s", got)
		}
	}
}

// TestPrintsNoSecret: arguments may be secrets, and the output is a token.
func TestPrintsNoSecret(t *testing.T) {
	for _, v := range []any{Command{Args: []string{"program", "CANARY"}, Mailbox: "me@gmail.com"}, Output{Stdout: "CANARY"}} {
		b, err := json.Marshal(v)
		if err != nil {
			t.Error(err)
		}
		for _, text := range []string{fmt.Sprintf("%v", v), fmt.Sprintf("%+v", v), fmt.Sprintf("%#v", v), fmt.Sprintf("%s", v), string(b)} {
			for _, form := range []string{"CANARY", fmt.Sprint([]byte("CANARY")), fmt.Sprintf("%#v", []byte("CANARY")), base64.StdEncoding.EncodeToString([]byte("CANARY"))} {
				if strings.Contains(text, form) {
					t.Errorf("%T shows a secret: %s", v, text)
				}
			}
		}
	}
}
