package oauthserver

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"authferry/demo/certs"
	"authferry/demo/eventlog"
)

// This file has what Microsoft offers and Google does not: clients that authenticate
// with a certificate, and clients that open mailboxes by themselves. Refusals have
// Microsoft's text. Programs read the number in it:
// https://learn.microsoft.com/entra/identity-platform/reference-error-codes

const clientAssertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" // RFC 7523 §2.2

// clientProof is the client's certificate and its key.
var clientProof = sync.OnceValue(func() (proof struct {
	key *rsa.PrivateKey
	der []byte
}) {
	proof.key = newRSAKey()
	c := certs.Template("authferry demo: an OAuth client")
	c.KeyUsage = x509.KeyUsageDigitalSignature
	var err error
	if proof.der, err = x509.CreateCertificate(rand.Reader, c, c, &proof.key.PublicKey, proof.key); err != nil {
		panic(err) // the template is valid
	}
	return proof
})

// ClientCertificatePEM returns a certificate that the client may authenticate
// with in place of its secret (RFC 7523 §2.2), as if it had been uploaded to the
// provider's console.
func ClientCertificatePEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: clientProof().der})
}

// ClientKeyPEM returns the key of [ClientCertificatePEM].
func ClientKeyPEM() []byte { return keyPEM(clientProof().key) }

// authenticate checks the client: RFC 6749 §2.3.
func authenticate(s *Server, r *http.Request) error {
	id, secret, basic := r.BasicAuth()
	if !basic {
		id, secret = r.PostForm.Get("client_id"), r.PostForm.Get("client_secret")
	}
	if r.PostForm.Has("client_assertion") {
		return verifyClient(s, r.PostForm, id)
	}
	if !s.isClient(id) {
		return s.refuse(http.StatusUnauthorized, "invalid_client", "The OAuth client was not found.")
	}
	if subtle.ConstantTimeCompare([]byte(secret), []byte(s.client.ClientSecret)) != 1 {
		return s.refuse(http.StatusUnauthorized, "invalid_client", "Unauthorized")
	}
	return nil
}

// verifyClient checks a client's assertion: RFC 7523 §3, with the header that
// Microsoft requires.
func verifyClient(s *Server, form url.Values, id string) error {
	bad := func(description string) error {
		return s.refuse(http.StatusUnauthorized, "invalid_client", description)
	}
	a, err := readAssertion(form.Get("client_assertion"))
	switch {
	case form.Get("client_assertion_type") != clientAssertionType:
		return bad("AADSTS50027: JWT token is invalid or malformed: client_assertion_type must be " + clientAssertionType)
	case form.Get("client_secret") != "":
		return bad("AADSTS70002: The request body contains both client_assertion and client_secret.")
	case err != nil:
		return bad("AADSTS50027: JWT token is invalid or malformed.")
	case !s.isClient(a.claims.Iss) || a.claims.Sub != a.claims.Iss || id != "" && id != a.claims.Iss:
		return bad("AADSTS700021: Client assertion application identifier doesn't match 'client_id' parameter.")
	case !a.namesCertificate(clientProof().der):
		return bad("AADSTS700027: The certificate with identifier used to sign the client assertion is not registered on application.")
	case !a.signedBy(&clientProof().key.PublicKey, "RS256", "PS256"):
		return bad("AADSTS700027: Client assertion failed signature validation.")
	case a.claims.Aud != s.client.TokenURL:
		return bad("AADSTS700023: Client assertion audience claim does not match Realm issuer.")
	case !a.timely(max(a.claims.Nbf, a.claims.Iat), s.now()):
		return bad("AADSTS700024: Client assertion is not within its valid time range.")
	case a.claims.Jti == "":
		return bad("AADSTS50027: JWT token is invalid or malformed: no jti.")
	}
	return nil
}

// namesCertificate reports whether the header names the certificate by one of its
// thumbprints (RFC 7515 §4.1.7 and §4.1.8), and by none that is wrong.
func (a *assertion) namesCertificate(der []byte) bool {
	old, modern := sha1.Sum(der), sha256.Sum256(der)
	x5t, x5tS256 := base64.RawURLEncoding.EncodeToString(old[:]), base64.RawURLEncoding.EncodeToString(modern[:])
	return (a.header.X5T == x5t || a.header.X5T == "") && (a.header.X5TS256 == x5tS256 || a.header.X5TS256 == "") &&
		a.header.X5T+a.header.X5TS256 != ""
}

// appGrant returns the grant of RFC 6749 §4.4: the client acts for itself, and its
// token opens every mailbox here. Like Microsoft, the token endpoint does not
// check that an administrator allowed the client any: the mailbox refuses it.
func appGrant(s *Server, form url.Values) (*grant, error) {
	scope := form.Get("scope")
	switch {
	case form.Get("client_secret") == "" && s.client.ClientSecret == "" && !form.Has("client_assertion"):
		return nil, s.refuse(http.StatusUnauthorized, "invalid_client", "AADSTS7000218: The request body must contain the following parameter: 'client_assertion' or 'client_secret'.")
	case scope != gmailScope && (len(strings.Fields(scope)) != 1 || !strings.HasSuffix(scope, "/.default")):
		return nil, s.refuse(http.StatusBadRequest, "invalid_scope", "AADSTS1002012: The provided value for scope "+eventlog.Quote(scope)+" is not valid. Client credential flows must have a scope value with /.default suffixed to the resource identifier (application ID URI).")
	}
	s.log.Printf("oauth: issued a token for every mailbox to the client itself")
	return &grant{scope: gmailScope, nobody: true, app: true}, nil
}
