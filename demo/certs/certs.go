// Package certs makes the certificates of the simulated Gmail and of its OAuth
// client.
package certs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"time"
)

// certificateLife is about a year: long enough for a demo left running, short
// enough for clients that refuse leaves valid for more than 398 days.
const certificateLife = 365 * 24 * time.Hour

// New makes a certificate authority, and one certificate that it signs for all
// loopback names. The authority's key is dropped: nothing else can be signed with
// it, which makes the authority safe to trust in a mail program.
func New() (leaf tls.Certificate, caPEM []byte, pool *x509.CertPool, err error) {
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return leaf, nil, nil, fmt.Errorf("making a key for the simulated authority: %w", err)
	}
	ca := Template("authferry demo: simulated Gmail authority")
	ca.IsCA, ca.BasicConstraintsValid, ca.MaxPathLenZero = true, true, true
	ca.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, &caKey.PublicKey, caKey)
	if err != nil {
		return leaf, nil, nil, fmt.Errorf("signing the simulated authority: %w", err)
	}

	leafKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return leaf, nil, nil, fmt.Errorf("making a key for the simulated servers: %w", err)
	}
	server := Template("localhost")
	server.KeyUsage = x509.KeyUsageDigitalSignature
	server.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	server.DNSNames = []string{"localhost"}
	server.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1).To4(), net.IPv6loopback}
	leafDER, err := x509.CreateCertificate(rand.Reader, server, ca, &leafKey.PublicKey, caKey)
	if err != nil {
		return leaf, nil, nil, fmt.Errorf("signing the certificate of the simulated servers: %w", err)
	}

	caPEM = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: caDER})
	pool = x509.NewCertPool()
	pool.AppendCertsFromPEM(caPEM)
	return tls.Certificate{Certificate: [][]byte{leafDER, caDER}, PrivateKey: leafKey}, caPEM, pool, nil
}

// Template returns an unsigned certificate with a name, valid from now on.
func Template(name string) *x509.Certificate {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		panic(err) // crypto/rand never fails
	}
	return &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: name},
		// An hour back, for a client in a container whose clock is behind.
		NotBefore: time.Now().Add(-time.Hour),
		NotAfter:  time.Now().Add(certificateLife),
	}
}
