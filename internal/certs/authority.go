package certs

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"authferry/internal/atomicfile"
)

// authferry's own authority signs the certificate if the configuration names
// none: mail programs trust ca.pem once, and do not notice renewals. The
// certificate is kept too, since programs that make exceptions (Thunderbird)
// remember the certificate itself.
const (
	AuthorityFile   = "ca.pem" // to be installed in mail programs
	authorityKey    = "ca.key"
	CertificateFile = "tls.pem" // the certificate and its key
)

// keyKind is a kind of key. Programs too old for elliptic curves need a chain
// that is RSA up to its authority, so each kind has a chain, in its own files.
type keyKind struct {
	suffix   string // in file names: ca-rsa.pem
	usage    x509.KeyUsage
	generate func() (crypto.Signer, error)
}

var (
	CurveKey = keyKind{"", x509.KeyUsageDigitalSignature, func() (crypto.Signer, error) {
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}}
	rsaKey = keyKind{"-rsa", x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment, func() (crypto.Signer, error) {
		return rsa.GenerateKey(rand.Reader, 2048)
	}}
)

// file returns the name of a file for this kind of key.
func (k keyKind) file(name string) string {
	ext := filepath.Ext(name)
	return strings.TrimSuffix(name, ext) + k.suffix + ext
}

const (
	authorityLife = 10 * 365 * 24 * time.Hour
	// Apple's systems refuse server certificates of more than 825 days, from
	// whatever authority: https://support.apple.com/en-us/103769.
	certificateLife = 397 * 24 * time.Hour
	// renewBefore leaves time to notice a renewal that failed.
	renewBefore = 60 * 24 * time.Hour
)

// selfMade serves a certificate signed by the authority kept in dir.
type selfMade struct {
	dir   string
	kind  keyKind
	names []string // host names and addresses
	now   func() time.Time
	log   *zap.Logger

	mu     sync.Mutex
	loaded *tls.Certificate
}

// OpenSelfMade opens the authority and the certificate, and creates or renews
// what is missing or out of date.
func OpenSelfMade(dir string, kind keyKind, names []string, now func() time.Time, log *zap.Logger) (*selfMade, error) {
	names = slices.Compact(slices.Sorted(slices.Values(names)))
	s := &selfMade{dir: dir, kind: kind, names: names, now: now, log: log}
	if pair, err := LoadPair(s.path(CertificateFile), s.path(CertificateFile)); err == nil {
		ca, err := s.authority()
		if err == nil && pair.Leaf.CheckSignatureFrom(ca.Leaf) == nil {
			s.loaded = pair
		}
	}
	_, err := s.current()
	return s, err
}

func (s *selfMade) path(name string) string { return filepath.Join(s.dir, s.kind.file(name)) }

// get is for [tls.Config.GetCertificate].
func (s *selfMade) get(*tls.ClientHelloInfo) (*tls.Certificate, error) { return s.current() }

func (s *selfMade) current() (*tls.Certificate, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.good() {
		return s.loaded, nil
	}
	pair, err := s.renew()
	if err != nil && s.loaded != nil { // an old certificate is better than none
		s.log.Error("certificate not renewed", zap.Error(err))
		return s.loaded, nil
	}
	if err != nil {
		return nil, fmt.Errorf("making a certificate: %w", err)
	}
	s.loaded = pair
	s.log.Info("certificate made", zap.String("authority", s.path(AuthorityFile)),
		zap.Strings("names", s.names), zap.Time("until", pair.Leaf.NotAfter))
	return pair, nil
}

// good reports whether the loaded certificate has the right names and enough
// time left.
func (s *selfMade) good() bool {
	if s.loaded == nil {
		return false
	}
	leaf := s.loaded.Leaf
	if s.now().After(leaf.NotAfter.Add(-renewBefore)) || s.now().Before(leaf.NotBefore) {
		return false
	}
	var names []string
	names = append(names, leaf.DNSNames...)
	for _, ip := range leaf.IPAddresses {
		names = append(names, ip.String())
	}
	slices.Sort(names)
	return slices.Equal(names, s.names)
}

// renew signs a certificate, and creates the authority first if there is none.
func (s *selfMade) renew() (*tls.Certificate, error) {
	ca, err := s.authority()
	if errors.Is(err, fs.ErrNotExist) || err == nil && s.now().Add(certificateLife).After(ca.Leaf.NotAfter) {
		ca, err = s.makeAuthority()
	}
	if err != nil {
		return nil, err
	}
	key, err := s.kind.generate()
	if err != nil {
		return nil, err
	}
	leaf := &x509.Certificate{
		Subject:     pkix.Name{CommonName: s.names[0], Organization: []string{"authferry"}},
		NotBefore:   s.now().Add(-time.Hour), // clocks of devices
		NotAfter:    s.now().Add(certificateLife),
		KeyUsage:    s.kind.usage,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, name := range s.names {
		if ip := net.ParseIP(name); ip != nil {
			leaf.IPAddresses = append(leaf.IPAddresses, ip)
		} else {
			leaf.DNSNames = append(leaf.DNSNames, name)
		}
	}
	certPEM, err := sign(leaf, ca.Leaf, key, ca.PrivateKey)
	if err != nil {
		return nil, err
	}
	keyPEM, err := encodeKey(key)
	if err != nil {
		return nil, err
	}
	caPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.Leaf.Raw})
	whole := bytes.Join([][]byte{certPEM, caPEM, keyPEM}, nil)
	if err := atomicfile.Write(s.path(CertificateFile), whole, 0o600); err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(whole, whole)
	return &pair, err
}

func (s *selfMade) authority() (*tls.Certificate, error) {
	return LoadPair(s.path(AuthorityFile), s.path(authorityKey))
}

// makeAuthority writes the key first: an authority without its key would remain
// useless, but a key without its authority is replaced.
func (s *selfMade) makeAuthority() (*tls.Certificate, error) {
	key, err := s.kind.generate()
	if err != nil {
		return nil, err
	}
	ca := &x509.Certificate{
		Subject:               pkix.Name{CommonName: "authferry on " + s.names[0] + strings.ToUpper(strings.ReplaceAll(s.kind.suffix, "-", " ")), Organization: []string{"authferry"}},
		NotBefore:             s.now().Add(-time.Hour),
		NotAfter:              s.now().Add(authorityLife),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
	}
	certPEM, err := sign(ca, ca, key, key)
	if err != nil {
		return nil, err
	}
	keyPEM, err := encodeKey(key)
	if err != nil {
		return nil, err
	}
	if err := atomicfile.Write(s.path(authorityKey), keyPEM, 0o600); err != nil {
		return nil, err
	}
	if err := atomicfile.Write(s.path(AuthorityFile), certPEM, 0o644); err != nil {
		return nil, err
	}
	return s.authority()
}

func sign(cert, parent *x509.Certificate, key crypto.Signer, parentKey crypto.PrivateKey) ([]byte, error) {
	der, err := x509.CreateCertificate(rand.Reader, cert, parent, key.Public(), parentKey)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), err
}

func encodeKey(key crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), err
}
