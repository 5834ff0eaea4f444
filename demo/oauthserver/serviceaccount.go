package oauthserver

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"authferry/demo/eventlog"
	"authferry/demo/mailstore"
)

const (
	grantJWTBearer = "urn:ietf:params:oauth:grant-type:jwt-bearer" // RFC 7523 §2.1

	serviceAccountEmail  = "authferry@demo-project.iam.gserviceaccount.com"
	serviceAccountClient = "100000000000000000001"
	serviceAccountKeyID  = "de30de30de30de30de30de30de30de30de30de30"
)

// Making an RSA key takes a tenth of a second, and every test starts a provider:
// each key is made on first use, once in a process.

var serviceAccountKey = sync.OnceValue(newRSAKey)

func newRSAKey() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err) // crypto/rand never fails
	}
	return key
}

func keyPEM(key *rsa.PrivateKey) []byte {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		panic(err) // an RSA key is one it knows
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// ServiceAccountJSON returns the key of a service account as Google's console offers
// it for download. The account may act for every mailbox here, unless
// [fault.Injector.NoDelegation] is on.
func ServiceAccountJSON(c ClientConfig) []byte {
	certs := "https://www.googleapis.com/"
	file, err := json.MarshalIndent(struct {
		Type         string `json:"type"`
		ProjectID    string `json:"project_id"`
		PrivateKeyID string `json:"private_key_id"`
		PrivateKey   string `json:"private_key"`
		ClientEmail  string `json:"client_email"`
		ClientID     string `json:"client_id"`
		AuthURI      string `json:"auth_uri"`
		TokenURI     string `json:"token_uri"`
		ProviderCert string `json:"auth_provider_x509_cert_url"`
		ClientCert   string `json:"client_x509_cert_url"`
		Universe     string `json:"universe_domain"`
	}{
		"service_account", "demo-project", serviceAccountKeyID, string(keyPEM(serviceAccountKey())),
		serviceAccountEmail, serviceAccountClient, c.AuthURL, c.TokenURL,
		certs + "oauth2/v1/certs", certs + "robot/v1/metadata/x509/" + url.PathEscape(serviceAccountEmail),
		"googleapis.com",
	}, "", "  ")
	if err != nil {
		panic(err) // strings only
	}
	return append(file, '\n')
}

// serviceAccountGrant returns the grant of RFC 7523 §2.1 as Google gives it to service
// accounts: with domain-wide delegation the assertion's subject is the mailbox.
// Without a subject the token is the account's own, which opens nothing.
func serviceAccountGrant(s *Server, form url.Values) (*grant, error) {
	const words = "Invalid JWT: "
	bad := func(code, description string) (*grant, error) {
		return nil, s.refuse(http.StatusBadRequest, code, description)
	}
	a, err := readAssertion(form.Get("assertion"))
	switch {
	case err != nil:
		return bad("invalid_grant", words+"Could not be parsed.")
	case a.claims.Iss != serviceAccountEmail:
		return bad("invalid_grant", "Invalid grant: account not found")
	case a.header.Kid != "" && a.header.Kid != serviceAccountKeyID, !a.signedBy(&serviceAccountKey().PublicKey, "RS256"):
		return bad("invalid_grant", "Invalid JWT Signature.")
	case a.claims.Aud != s.client.TokenURL:
		return bad("invalid_grant", words+"Failed audience check. The right audience is "+s.client.TokenURL)
	case !a.timely(a.claims.Iat, s.now()):
		return bad("invalid_grant", words+"Token must be a short-lived token (60 minutes) and in a reasonable timeframe. Check your iat and exp values in the JWT claim.")
	case strings.TrimSpace(a.claims.Scope) == "":
		return bad("invalid_scope", "Empty or missing scope not allowed.")
	}
	for _, scope := range strings.Fields(a.claims.Scope) {
		if !knownScope(scope) {
			return bad("invalid_scope", "Some requested scopes were invalid: "+eventlog.Quote(scope))
		}
	}
	mailbox := mailstore.Canonical(a.claims.Sub)
	switch {
	case mailbox == "":
		mailbox = serviceAccountEmail
	case s.store.Find(mailbox) == nil:
		return bad("invalid_grant", "Invalid email or User ID")
	case s.faults.DelegationDenied() || !onlyMail(a.claims.Scope):
		return nil, s.refuse(http.StatusUnauthorized, "unauthorized_client",
			"Client is unauthorized to retrieve access tokens using this method, or client not authorized for any of the scopes requested.")
	}
	s.log.Printf("oauth: issued a token for %s to the service account", mailbox)
	return &grant{mailbox: mailbox, scope: a.claims.Scope, nobody: true}, nil
}

// onlyMail reports whether no scope but that for mail is requested.
func onlyMail(scopes string) bool {
	for _, scope := range strings.Fields(scopes) {
		if scope != gmailScope {
			return false
		}
	}
	return true
}
