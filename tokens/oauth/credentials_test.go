package oauth

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"strings"
	"testing"
	"time"

	"authferry/tokens/oauth/oauthtest"
)

// TestLoadClientCertificate: the accepted files, and the errors for others.
func TestLoadClientCertificate(t *testing.T) {
	key, later := oauthtest.PemOf(t, oauthtest.TestKey()), time.Now().Add(time.Hour)
	certificate, strange := oauthtest.CertificateOf(t, oauthtest.TestKey(), later), oauthtest.CertificateOf(t, oauthtest.StrangeKey(), later)
	pkcs1 := string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(oauthtest.TestKey())}))
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	short, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	encrypted := "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMAA=\n-----END ENCRYPTED PRIVATE KEY-----\n"
	older := "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nMAA=\n-----END RSA PRIVATE KEY-----\n"
	for name, c := range map[string]struct{ certificate, key, says string }{
		"as they are":         {certificate, key, ""},
		"one file":            {certificate + key, certificate + key, ""},
		"the older form":      {certificate, pkcs1, ""},
		"a chain":             {strange + certificate, key, ""},
		"words around it":     {"Bag Attributes\n" + certificate, "Key Attributes\n" + key, ""},
		"others' certificate": {strange, key, "do not belong together"},
		"encrypted":           {certificate, encrypted, "openssl pkey"},
		"encrypted, older":    {certificate, older, "openssl pkey"},
		"no key":              {certificate, certificate, "no private key"},
		"no certificate":      {key, key, "no certificate"},
		"nothing":             {"", "", "no private key"},
		"a .pfx file":         {certificate, "\x30\x82\x01\x00", "pkcs12"},
		"an elliptic key":     {certificate, oauthtest.PemOf(t, curve), "not an RSA key"},
		"a short key":         {certificate, oauthtest.PemOf(t, short), "1024 bits"},
		"a damaged key":       {certificate, strings.Replace(key, "MII", "AAA", 1), "key is damaged"},
		"damaged":             {strings.Replace(certificate, "MII", "AAA", 1), key, "certificate is damaged"},
	} {
		got, err := LoadClientCertificate([]byte(c.certificate), []byte(c.key))
		switch {
		case c.says == "":
			if err != nil || !got.Expires.Equal(later.UTC().Truncate(time.Second)) {
				t.Errorf("%s: %v", name, err)
			}
		case err == nil || !strings.Contains(err.Error(), c.says):
			t.Errorf("%s: %v; want %q", name, err, c.says)
		}
	}
}

// TestLoadServiceAccount: the accepted files, and the errors for others.
func TestLoadServiceAccount(t *testing.T) {
	good := oauthtest.Downloaded(t, oauthtest.TestKey())
	for name, c := range map[string]struct{ file, says string }{
		"as it is":         {good, ""},
		"saved by Notepad": {"\ufeff" + good + "\r\n", ""},
		"an OAuth client":  {`{"installed":{"client_id":"x","client_secret":"CANARY"}}`, "client_file"},
		"a web client":     {`{"web":{"client_id":"x","client_secret":"CANARY"}}`, "client_file"},
		"a person's":       {`{"type":"authorized_user","refresh_token":"CANARY"}`, "gcloud"},
		"federation":       {`{"type":"external_account"}`, `"external_account"`},
		"another JSON":     {`{"secret":"CANARY"}`, `"service_account"`},
		"no address":       {strings.Replace(good, oauthtest.Robot, "", 1), "client_email"},
		"no key":           {`{"type":"service_account","client_email":"a@b"}`, "no private key"},
		"encrypted":        {`{"type":"service_account","client_email":"a@b","private_key":"-----BEGIN ENCRYPTED PRIVATE KEY-----\nMAA=\n-----END ENCRYPTED PRIVATE KEY-----\n"}`, "encrypted"},
		"a damaged key":    {strings.Replace(good, "MII", "AAA", 1), "damaged"},
		"a bare key":       {oauthtest.PemOf(t, oauthtest.TestKey()), "whole JSON"},
		"P12":              {"\x30\x82\x09\x00", "P12"},
		"cut":              {good[:len(good)/2], "not JSON"},
		"nothing":          {"", "not JSON"},
		"null":             {"null", "service_account"},
	} {
		got, err := LoadServiceAccount([]byte(c.file))
		switch {
		case c.says == "":
			if err != nil || got.Email != oauthtest.Robot || got.KeyID != oauthtest.RobotKey || got.Client != oauthtest.RobotID || !oauthtest.TestKey().PublicKey.Equal(got.Key.Public()) {
				t.Errorf("%s: %v %+v", name, err, got)
			}
		case err == nil || !strings.Contains(err.Error(), c.says):
			t.Errorf("%s: %v; want %q", name, err, c.says)
		case strings.Contains(err.Error(), "CANARY") || strings.Contains(err.Error(), "MII"):
			t.Errorf("%s: tells a secret: %v", name, err)
		}
	}
}

func FuzzLoadServiceAccount(f *testing.F) {
	good := oauthtest.Downloaded(f, oauthtest.TestKey())
	for _, s := range []string{good, good[:200], "{}", `{"type":"service_account","client_email":"a@b","private_key":"-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----"}`, `{"web":{}}`, "\x30\x82"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		s, err := LoadServiceAccount(file)
		if err == nil && (s.Key == nil || s.Email == "") || err != nil && (strings.ContainsAny(err.Error(), "\r\n\x00") || len(err.Error()) > 1000) {
			t.Errorf("%+v, %q", s, err)
		}
	})
}

func FuzzLoadClientCertificate(f *testing.F) {
	certificate, key := oauthtest.CertificateOf(f, oauthtest.TestKey(), time.Unix(2e9, 0)), oauthtest.PemOf(f, oauthtest.TestKey())
	f.Add([]byte(certificate), []byte(key))
	f.Add([]byte(key), []byte(certificate))
	f.Add([]byte("-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"), []byte(key))
	f.Add([]byte(certificate), []byte("-----BEGIN RSA PRIVATE KEY-----\nDEK-Info: x\n\nMAA=\n-----END RSA PRIVATE KEY-----\n"))
	f.Fuzz(func(t *testing.T, certificate, key []byte) {
		c, err := LoadClientCertificate(certificate, key)
		if err == nil && c.Key == nil || err != nil && (strings.ContainsAny(err.Error(), "\r\n\x00") || len(err.Error()) > 1000) {
			t.Errorf("%+v, %q", c, err)
		}
	})
}
