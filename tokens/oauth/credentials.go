package oauth

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"time"

	"authferry/internal/printable"
	"authferry/internal/secret"
)

// ServiceAccount is the key of a Google service account, as Google's console offers
// it for download.
type ServiceAccount struct {
	Email  string        // of the account: the issuer of its assertions
	KeyID  string        // identifies the key to the provider
	Client string        // the numeric client id that an administrator delegates to
	Key    crypto.Signer // RSA
}

// ClientCertificate authenticates a client instead of a secret.
type ClientCertificate struct {
	Thumbprint [32]byte  // SHA-256 of the certificate: x5t#S256 (RFC 7515 §4.1.8)
	SHA1       [20]byte  // of the same: x5t, which Microsoft requires
	Expires    time.Time // of the certificate; zero: not known
	Key        crypto.Signer
}

// Types that contain a key format and encode (JSON, XML, TOML) as their name:
// encoders would write an RSA key field by field.

func (s ServiceAccount) Format(f fmt.State, _ rune) {
	fmt.Fprint(f, "service account "+strings.TrimSpace(s.Email))
}
func (s ServiceAccount) MarshalText() ([]byte, error) { return []byte(fmt.Sprint(s)), nil }
func (c ClientCertificate) Format(f fmt.State, _ rune) {
	fmt.Fprint(f, "client certificate "+secret.Redacted)
}
func (c ClientCertificate) MarshalText() ([]byte, error) { return []byte(fmt.Sprint(c)), nil }

// LoadServiceAccount reads the JSON file that Google's console offers as the key of a
// service account. Its errors contain nothing of the file.
func LoadServiceAccount(file []byte) (*ServiceAccount, error) {
	file = bytes.TrimSpace(bytes.TrimPrefix(file, []byte("\ufeff")))
	var f struct {
		Type       string          `json:"type"`
		Email      string          `json:"client_email"`
		Client     string          `json:"client_id"`
		KeyID      string          `json:"private_key_id"`
		PrivateKey string          `json:"private_key"`
		Installed  json.RawMessage `json:"installed"`
		Web        json.RawMessage `json:"web"`
	}
	if err := json.Unmarshal(file, &f); err != nil {
		switch {
		case bytes.HasPrefix(file, []byte("-----BEGIN")):
			return nil, errors.New("it is a private key alone: name the whole JSON file that Google's console offers, which contains the account too")
		case bytes.HasPrefix(file, []byte{0x30, 0x82}): // PKCS #12
			return nil, errors.New("it is a key of the type P12: make one of the type JSON in Google's console")
		}
		return nil, errors.New("it is not JSON: download the key again, of the type JSON")
	}
	switch {
	case f.Installed != nil || f.Web != nil:
		return nil, errors.New("it is an OAuth client (client_secret_....json), which belongs in client_file; make a service account's key under IAM & Admin, Service accounts, Keys")
	case f.Type == "authorized_user":
		return nil, errors.New("it is a person's sign-in to gcloud, not a service account's key: make one under IAM & Admin, Service accounts, Keys")
	case f.Type != "service_account":
		return nil, fmt.Errorf("its type is %s and not \"service_account\": make a key under IAM & Admin, Service accounts, Keys", printable.Quote(f.Type))
	case f.Email == "" || strings.ContainsFunc(f.Email, func(r rune) bool { return r <= ' ' || r > '~' }):
		return nil, errors.New("it has no client_email: download the key again")
	}
	key, err := readRSAKey([]byte(f.PrivateKey))
	if err != nil {
		return nil, fmt.Errorf("reading its private_key: %w", err)
	}
	return &ServiceAccount{Email: f.Email, KeyID: f.KeyID, Client: f.Client, Key: key}, nil
}

// LoadClientCertificate reads a certificate in PEM, with or without its chain, and
// its key. Both may be in one file, given twice. It accepts an expired certificate:
// that of one provider must not stop the mailboxes of others. See
// [ClientCertificate.Expires].
func LoadClientCertificate(certPEM, keyPEM []byte) (*ClientCertificate, error) {
	key, err := readRSAKey(keyPEM)
	if err != nil {
		return nil, err
	}
	found := 0
	for rest := certPEM; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		found++
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, errors.New("the certificate is damaged: export it again")
		}
		if public, ok := certificate.PublicKey.(*rsa.PublicKey); !ok || !public.Equal(key.Public()) {
			continue
		}
		return &ClientCertificate{
			Thumbprint: sha256.Sum256(certificate.Raw), SHA1: sha1.Sum(certificate.Raw),
			Expires: certificate.NotAfter, Key: key,
		}, nil
	}
	if found == 0 {
		return nil, errors.New("there is no certificate in it: expected PEM, beginning with -----BEGIN CERTIFICATE----- " +
			"(of a .cer file: openssl x509 -inform DER -in app.cer -out app.pem; of a .pfx file: openssl pkcs12 -in app.pfx -nokeys -out app.pem)")
	}
	return nil, errors.New("the certificate and the key do not belong together: name the key that the certificate was made with")
}

// readRSAKey finds a private key in PEM: PKCS #8 or PKCS #1. Its errors contain
// nothing of the file.
func readRSAKey(text []byte) (*rsa.PrivateKey, error) {
	for rest := text; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type == "ENCRYPTED PRIVATE KEY" || block.Headers["DEK-Info"] != "" {
			return nil, errors.New("the key is encrypted, and a server cannot ask for its passphrase: " +
				"decrypt it (openssl pkey -in app.key -out plain.key) and make the file readable by its owner alone")
		}
		var key any
		var err error
		switch block.Type {
		case "PRIVATE KEY":
			key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
		case "RSA PRIVATE KEY":
			key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
		case "EC PRIVATE KEY":
			key = nil
		default:
			continue // such as a certificate in the same file
		}
		if err != nil {
			return nil, errors.New("the key is damaged: export it again, or make a new one")
		}
		rsaKey, ok := key.(*rsa.PrivateKey)
		if !ok {
			return nil, errors.New("the key is not an RSA key, the only kind that providers accept: make one with 2048 bits or more")
		}
		if rsaKey.N.BitLen() < minKeyBits {
			return nil, fmt.Errorf("the key has %d bits, and providers require at least %d: make a new one", rsaKey.N.BitLen(), minKeyBits)
		}
		return rsaKey, nil
	}
	hint := ""
	if bytes.HasPrefix(text, []byte{0x30, 0x82}) { // a DER sequence of more than 255 bytes
		hint = "; it may be a .pfx or .p12 file (openssl pkcs12 -in app.pfx -nocerts -nodes -out app.key)"
	}
	return nil, errors.New("there is no private key in it: expected PEM, beginning with -----BEGIN PRIVATE KEY-----" + hint)
}

// minKeyBits is the shortest RSA key that Google and Microsoft accept.
const minKeyBits = 2048
