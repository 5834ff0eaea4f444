package demo

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
)

// What Google lacks and Microsoft has: clients that prove themselves with a
// certificate, and clients that open mailboxes by themselves. Refusals are in
// Microsoft's words, of which the numbers are what programs look at:
// https://learn.microsoft.com/entra/identity-platform/reference-error-codes

const clientAssertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" // RFC 7523 §2.2

// clientProof is the client's certificate and its key.
var clientProof = sync.OnceValue(func() (proof struct {
	key *rsa.PrivateKey
	der []byte
}) {
	proof.key = newRSAKey()
	c := certificate("authferry demo: an OAuth client")
	c.KeyUsage = x509.KeyUsageDigitalSignature
	var err error
	if proof.der, err = x509.CreateCertificate(rand.Reader, c, c, &proof.key.PublicKey, proof.key); err != nil {
		panic(err) // the template is ours
	}
	return proof
})

// ClientCertificatePEM is a certificate the client may prove itself with in
// place of its secret (RFC 7523 §2.2), as if it had been uploaded to the
// provider's console.
func (p *Provider) ClientCertificatePEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: clientProof().der})
}

// ClientKeyPEM is the key of [Provider.ClientCertificatePEM].
func (p *Provider) ClientKeyPEM() []byte { return keyPEM(clientProof().key) }

func (p *Provider) isClient(id string) bool { return id == p.ClientID }

// authenticate makes sure of the client: RFC 6749 §2.3.
func (p *Provider) authenticate(r *http.Request) error {
	id, secret, basic := r.BasicAuth()
	if !basic {
		id, secret = r.PostForm.Get("client_id"), r.PostForm.Get("client_secret")
	}
	if r.PostForm.Has("client_assertion") {
		return p.verifyClient(r.PostForm, id)
	}
	if !p.isClient(id) {
		return p.refuse(http.StatusUnauthorized, "invalid_client", "The OAuth client was not found.")
	}
	if subtle.ConstantTimeCompare([]byte(secret), []byte(p.ClientSecret)) != 1 {
		return p.refuse(http.StatusUnauthorized, "invalid_client", "Unauthorized")
	}
	return nil
}

// verifyClient checks a client's assertion about itself: RFC 7523 §3, with the
// header Microsoft wants.
func (p *Provider) verifyClient(form url.Values, id string) error {
	bad := func(description string) error {
		return p.refuse(http.StatusUnauthorized, "invalid_client", description)
	}
	a, err := readAssertion(form.Get("client_assertion"))
	switch {
	case form.Get("client_assertion_type") != clientAssertionType:
		return bad("AADSTS50027: JWT token is invalid or malformed: client_assertion_type must be " + clientAssertionType)
	case form.Get("client_secret") != "":
		return bad("AADSTS70002: The request body contains both client_assertion and client_secret.")
	case err != nil:
		return bad("AADSTS50027: JWT token is invalid or malformed.")
	case !p.isClient(a.claims.Iss) || a.claims.Sub != a.claims.Iss || id != "" && id != a.claims.Iss:
		return bad("AADSTS700021: Client assertion application identifier doesn't match 'client_id' parameter.")
	case !a.namesCertificate(clientProof().der):
		return bad("AADSTS700027: The certificate with identifier used to sign the client assertion is not registered on application.")
	case !a.signedBy(&clientProof().key.PublicKey, "RS256", "PS256"):
		return bad("AADSTS700027: Client assertion failed signature validation.")
	case a.claims.Aud != p.TokenURL:
		return bad("AADSTS700023: Client assertion audience claim does not match Realm issuer.")
	case !a.timely(max(a.claims.Nbf, a.claims.Iat), p.now()):
		return bad("AADSTS700024: Client assertion is not within its valid time range.")
	case a.claims.Jti == "":
		return bad("AADSTS50027: JWT token is invalid or malformed: no jti.")
	}
	return nil
}

// namesCertificate tells whether the header names the certificate by one of its
// thumbprints (RFC 7515 §4.1.7 and §4.1.8), and by none that is wrong.
func (a *assertion) namesCertificate(der []byte) bool {
	old, modern := sha1.Sum(der), sha256.Sum256(der)
	x5t, x5tS256 := base64.RawURLEncoding.EncodeToString(old[:]), base64.RawURLEncoding.EncodeToString(modern[:])
	return (a.header.X5T == x5t || a.header.X5T == "") && (a.header.X5TS256 == x5tS256 || a.header.X5TS256 == "") &&
		a.header.X5T+a.header.X5TS256 != ""
}

// appToken is the grant of RFC 6749 §4.4: the client acts for itself, and its
// token opens every mailbox here. Like Microsoft, the token endpoint does not
// ask whether an administrator let the client into any: the mailbox refuses it.
func (p *Provider) appToken(form url.Values) (*tokenAnswer, error) {
	scope := form.Get("scope")
	switch {
	case form.Get("client_secret") == "" && p.ClientSecret == "" && !form.Has("client_assertion"):
		return nil, p.refuse(http.StatusUnauthorized, "invalid_client", "AADSTS7000218: The request body must contain the following parameter: 'client_assertion' or 'client_secret'.")
	case scope != gmailScope && (len(strings.Fields(scope)) != 1 || !strings.HasSuffix(scope, "/.default")):
		return nil, p.refuse(http.StatusBadRequest, "invalid_scope", "AADSTS1002012: The provided value for scope "+shown(scope)+" is not valid. Client credential flows must have a scope value with /.default suffixed to the resource identifier (application ID URI).")
	}
	p.logf("oauth: issued a token for every mailbox to the client itself")
	gr := &grant{scope: gmailScope, nobody: true, app: true}
	answer := p.answer(issued{access: p.grants.beginWithout(gr, p.options.TokenLife), grant: gr})
	answer.Scope = "" // what was asked, then: RFC 6749 §5.1
	return answer, nil
}
