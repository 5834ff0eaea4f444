//go:build realmail

package mailsettings

import (
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestOpenSSLVerifiesProfile: openssl accepts the signature, and finds the profile
// unchanged in it. See .ci/realmail.
func TestOpenSSLVerifiesProfile(t *testing.T) {
	t.Parallel()
	unsigned := askProfile(nil).Body.String()
	for name, pair := range signingCertificates(t) {
		authority := filepath.Join(t.TempDir(), "ca.pem")
		if err := os.WriteFile(authority, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[1]}), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("openssl", "smime", "-verify", "-inform", "DER", "-CAfile", authority, "-purpose", "any")
		cmd.Stdin = askProfile(pair).Body
		var out, errs strings.Builder
		cmd.Stdout, cmd.Stderr = &out, &errs
		if err := cmd.Run(); err != nil || out.String() != unsigned {
			t.Errorf("%s: openssl: %v\n%s%s", name, err, &errs, &out)
		}
	}
}
