package oauthtest

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	// Mailbox is the one that the endpoints issue tokens for.
	Mailbox = "me@gmail.com"

	Robot    = "robot@project.iam.gserviceaccount.com"
	MailIs   = "https://mail.google.com/"
	RobotID  = "112233445566778899001"
	RobotKey = "key-one"
)

// TestKey is one RSA key for all tests: generating one is slow.
var TestKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

// StrangeKey is a key that no endpoint knows.
var StrangeKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

// PemOf returns a key in PKCS #8, as Google's console writes it.
func PemOf(t testing.TB, key any) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// CertificateOf returns a self-signed certificate for a key, in PEM.
func CertificateOf(t testing.TB, key crypto.Signer, expires time.Time) string {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(expires.Unix()), Subject: pkix.Name{CommonName: "authferry"},
		NotBefore: expires.Add(-24 * time.Hour), NotAfter: expires,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// Downloaded returns a service account's key file.
func Downloaded(t testing.TB, key any) string {
	t.Helper()
	file, err := json.Marshal(map[string]string{
		"type": "service_account", "project_id": "project", "private_key_id": RobotKey, "private_key": PemOf(t, key),
		"client_email": Robot, "client_id": RobotID, "token_uri": "https://oauth2.googleapis.com/token",
	})
	if err != nil {
		t.Fatal(err)
	}
	return string(file)
}

// AppEndpoint is a token endpoint for flows without a person. It verifies assertions,
// words its errors as Google and Microsoft do, and repeats the secrets it was told in
// their descriptions.
type AppEndpoint struct {
	URL string

	mu          sync.Mutex
	Ahead       time.Duration   // how far its clock is ahead
	Mailboxes   map[string]bool // delegated ones
	scope       string
	Certificate string // PEM
	Secret      string
	Forms       []string        // as they came
	used        map[string]bool // by jti
	Intercept   http.HandlerFunc
}

func NewAppEndpoint(t testing.TB) *AppEndpoint {
	j := &AppEndpoint{Mailboxes: map[string]bool{Mailbox: true}, scope: MailIs, Secret: "secret-CANARY", used: map[string]bool{}}
	s := httptest.NewServer(j)
	t.Cleanup(s.Close)
	j.URL = s.URL
	return j
}

func (j *AppEndpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	j.mu.Lock()
	defer j.mu.Unlock()
	r.ParseForm()
	j.Forms = append(j.Forms, r.PostForm.Encode())
	now := time.Now().Add(j.Ahead)
	w.Header().Set("Date", now.UTC().Format(http.TimeFormat))
	w.Header().Set("Content-Type", "application/json")
	if j.Intercept != nil {
		j.Intercept(w, r)
		return
	}
	status, code, words := 0, "", ""
	switch r.PostForm.Get("grant_type") {
	case "urn:ietf:params:oauth:grant-type:jwt-bearer":
		status, code, words = j.google(r, now)
	case "client_credentials":
		status, code, words = j.microsoft(r, now)
	default:
		status, code = 400, "unsupported_grant_type"
	}
	if status != 0 {
		w.WriteHeader(status)
		told := r.PostForm.Get("assertion") + r.PostForm.Get("client_assertion") + r.PostForm.Get("client_secret")
		json.NewEncoder(w).Encode(map[string]string{"error": code, "error_description": words + " " + told})
		return
	}
	// A refresh token that was not requested: some providers send one.
	fmt.Fprintf(w, `{"access_token":"ya29.CANARY-%d","refresh_token":"1//CANARY","expires_in":3599,"token_type":"Bearer"}`, len(j.Forms))
}

// jwt verifies a JWT and returns its header and claims.
func (j *AppEndpoint) jwt(compact string, public *rsa.PublicKey, alg string) (header, claims map[string]any, ok bool) {
	parts := strings.Split(compact, ".")
	if len(parts) != 3 {
		return nil, nil, false
	}
	var raw [3][]byte
	for i, part := range parts {
		b, err := base64.RawURLEncoding.DecodeString(part)
		if err != nil {
			return nil, nil, false
		}
		raw[i] = b
	}
	if json.Unmarshal(raw[0], &header) != nil || json.Unmarshal(raw[1], &claims) != nil || header["alg"] != alg || header["typ"] != "JWT" {
		return nil, nil, false
	}
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if alg == "PS256" {
		return header, claims, rsa.VerifyPSS(public, crypto.SHA256, sum[:], raw[2], &rsa.PSSOptions{SaltLength: 32}) == nil
	}
	return header, claims, rsa.VerifyPKCS1v15(public, crypto.SHA256, sum[:], raw[2]) == nil
}

func (j *AppEndpoint) google(r *http.Request, now time.Time) (status int, code, words string) {
	if r.PostForm.Has("client_id") || r.PostForm.Has("client_secret") {
		return 400, "invalid_request", "an assertion says itself who asks"
	}
	header, claims, ok := j.jwt(r.PostForm.Get("assertion"), &TestKey().PublicKey, "RS256")
	issued, _ := claims["iat"].(float64)
	expires, _ := claims["exp"].(float64)
	sub, _ := claims["sub"].(string)
	switch at := float64(now.Unix()); {
	case !ok || header["kid"] != RobotKey:
		return 400, "invalid_grant", "Invalid JWT Signature."
	case claims["iss"] != Robot:
		return 400, "invalid_grant", "Invalid grant: account not found"
	case claims["aud"] != j.URL+"/token":
		return 400, "invalid_grant", "Invalid audience"
	case issued > at || expires <= at || expires-issued > 3600:
		return 400, "invalid_grant", "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. Check your iat and exp values in the JWT claim."
	case claims["scope"] != j.scope:
		return 401, "unauthorized_client", "Client is unauthorized to retrieve access tokens using this method, or client not authorized for any of the scopes requested."
	case !j.Mailboxes[sub]:
		return 400, "invalid_grant", "Invalid email or User ID"
	}
	return 0, "", ""
}

func (j *AppEndpoint) microsoft(r *http.Request, now time.Time) (status int, code, words string) {
	if r.PostForm.Get("client_id") != "client" || r.PostForm.Get("scope") != "https://outlook.office365.com/.default" {
		return 400, "unauthorized_client", "AADSTS700016: Application with identifier was not found in the directory."
	}
	if j.Certificate == "" {
		if r.PostForm.Get("client_secret") != j.Secret {
			return 401, "invalid_client", "AADSTS7000215: Invalid client secret provided."
		}
		return 0, "", ""
	}
	block, _ := pem.Decode([]byte(j.Certificate))
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		panic(err)
	}
	header, claims, ok := j.jwt(r.PostForm.Get("client_assertion"), certificate.PublicKey.(*rsa.PublicKey), "PS256")
	begins, _ := claims["nbf"].(float64)
	expires, _ := claims["exp"].(float64)
	one, both := sha1.Sum(block.Bytes), sha256.Sum256(block.Bytes)
	id, _ := claims["jti"].(string)
	used := j.used[id]
	j.used[id] = true
	switch at := float64(now.Unix()); {
	case r.PostForm.Get("client_assertion_type") != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" || r.PostForm.Has("client_secret"):
		return 400, "invalid_request", "AADSTS900144"
	case !ok, header["x5t"] != base64.RawURLEncoding.EncodeToString(one[:]), header["x5t#S256"] != base64.RawURLEncoding.EncodeToString(both[:]):
		return 401, "invalid_client", "AADSTS700027: The certificate with identifier used to sign the client assertion is not registered on application."
	case claims["iss"] != "client", claims["sub"] != "client", claims["aud"] != j.URL+"/token", len(id) < 32, used:
		return 401, "invalid_client", "AADSTS700021"
	case begins > at || expires <= at || expires-begins > 3600:
		return 401, "invalid_client", "AADSTS700024: Client assertion is not within its valid time range."
	}
	return 0, "", ""
}
