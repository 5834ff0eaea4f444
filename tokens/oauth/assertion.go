package oauth

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"time"

	"authferry/internal/printable"
	"authferry/internal/secret"
)

// Signing is ours: RS256 and PS256 are a page on top of crypto/rsa, and a JOSE
// library brings all that one can do with a JWT, most of which is verifying.

const (
	// assertionEarly dates an assertion back, for a clock that is fast: Google
	// refuses one from the future.
	assertionEarly = 2 * time.Minute
	// assertionLife is the longest Google takes (counted from the iat), so that
	// a slow clock may be wrong by most of an hour.
	assertionLife = time.Hour
	// clientAssertionLife is what Microsoft advises.
	clientAssertionLife = 10 * time.Minute
)

// signJWT makes a JWT (RFC 7519) in compact form, signed as its header says:
// RS256 or PS256 (RFC 7518 §3.3, §3.5). It is a secret: for as long as it is
// good it opens what its key opens.
func signJWT(key crypto.Signer, header map[string]string, claims map[string]any) (secret.String, error) {
	header["typ"] = "JWT"
	var options crypto.SignerOpts = crypto.SHA256
	if header["alg"] == "PS256" {
		options = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA256}
	}
	head, err := json.Marshal(header)
	if err != nil {
		return "", err
	}
	body, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	signed := base64.RawURLEncoding.EncodeToString(head) + "." + base64.RawURLEncoding.EncodeToString(body)
	sum := sha256.Sum256([]byte(signed))
	signature, err := key.Sign(rand.Reader, sum[:], options)
	if err != nil {
		return "", err
	}
	return secret.String(signed + "." + base64.RawURLEncoding.EncodeToString(signature)), nil
}

// assertion proves the client by its certificate (RFC 7523 §3), in the form
// that Microsoft documents:
// https://learn.microsoft.com/entra/identity-platform/certificate-credentials
func (c *ClientCertificate) assertion(p *Provider, now time.Time) (secret.String, error) {
	if !c.Expires.IsZero() && now.After(c.Expires) {
		return "", &EndpointError{Kind: ErrRefused, reason: fmt.Sprintf("the certificate of [provider.%s] expired on %s; "+
			"make a new one, add it to the client in the provider's console, and name it in certificate_file", p.Name, c.Expires.Format(time.DateOnly))}
	}
	begins := now.Add(-assertionEarly)
	signed, err := signJWT(c.Key, map[string]string{
		"alg":      "PS256",
		"x5t":      base64.RawURLEncoding.EncodeToString(c.SHA1[:]),
		"x5t#S256": base64.RawURLEncoding.EncodeToString(c.Thumbprint[:]),
	}, map[string]any{
		"iss": p.ClientID, "sub": p.ClientID, "aud": p.TokenURL, "jti": secret.RandomHex(16),
		"iat": begins.Unix(), "nbf": begins.Unix(), "exp": now.Add(clientAssertionLife).Unix(),
	})
	if err != nil {
		return "", &EndpointError{Kind: ErrRefused, reason: fmt.Sprintf("the key of certificate_key_file in [provider.%s] cannot sign: %s; make a new one", p.Name, printable.Quote(err.Error()))}
	}
	return signed, nil
}

// LoadClientCertificate reads what proves a client in place of a secret: a
// certificate in PEM, with the authorities above it or without, and its key.
// Both may be in one file, given twice. A certificate that has expired is
// loaded all the same, since that of one provider must not keep the mailboxes
// of others from being served: see [ClientCertificate.Expires].
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

// readRSAKey finds a private key in PEM: PKCS #8, or the older form. Its errors
// say nothing of the content.
func readRSAKey(text []byte) (*rsa.PrivateKey, error) {
	for rest := text; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type == "ENCRYPTED PRIVATE KEY" || block.Headers["DEK-Info"] != "" {
			return nil, errors.New("the key is encrypted, and nobody is there to type its passphrase: " +
				"take it off (openssl pkey -in app.key -out plain.key) and let nobody else read the file")
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
			continue // such as the certificate in the same file
		}
		if err != nil {
			return nil, errors.New("the key is damaged: export it again, or make a new one")
		}
		rsaKey, ok := key.(*rsa.PrivateKey)
		if !ok {
			return nil, errors.New("the key is not an RSA key, which is the kind that providers take: make one with 2048 bits or more")
		}
		if rsaKey.N.BitLen() < leastKey {
			return nil, fmt.Errorf("the key has %d bits, and providers take no less than %d: make a new one", rsaKey.N.BitLen(), leastKey)
		}
		return rsaKey, nil
	}
	hint := ""
	if bytes.HasPrefix(text, []byte{0x30, 0x82}) { // a DER sequence of more than 255 bytes
		hint = "; it may be a .pfx or .p12 file (openssl pkcs12 -in app.pfx -nocerts -nodes -out app.key)"
	}
	return nil, errors.New("there is no private key in it: expected PEM, beginning with -----BEGIN PRIVATE KEY-----" + hint)
}

// leastKey is the shortest RSA key that Google and Microsoft take.
const leastKey = 2048
