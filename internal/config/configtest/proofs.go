// Package configtest creates the files that test configurations refer to: the
// keys, certificates and programs by which an application authenticates. It also
// keeps the machine's own settings from tests.
package configtest

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// proofKey is made once: RSA keys take a while.
var proofKey = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

// writeProofs puts what proves an application into a directory: account.json,
// client.pem, client.key, and a program called print.
func WriteProofs(t *testing.T, dir string) {
	t.Helper()
	key, err := proofKey()
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	account, err := json.Marshal(map[string]string{
		"type": "service_account", "project_id": "demo", "private_key_id": "abc", "private_key": string(keyPEM),
		"client_email": "ferry@demo.iam.gserviceaccount.com", "client_id": "1000",
		"token_uri": "https://oauth2.googleapis.com/token",
	})
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authferry"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{
		"account.json": account,
		"client.pem":   pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}),
		"client.key":   keyPEM,
		"print":        []byte("#!/bin/sh\necho token\n"),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o700); err != nil {
			t.Fatal(err)
		}
	}
}

// ClearEnvironment removes the settings of an authferry of this machine, which
// would be those of every configuration that a test loads.
func ClearEnvironment() {
	for _, variable := range os.Environ() {
		if name, _, _ := strings.Cut(variable, "="); strings.HasPrefix(name, "AUTHFERRY_") {
			os.Unsetenv(name)
		}
	}
}
