// What Apache XML Security for C++ says: checksig CERTIFICATE FILE... prints a line for each file.
//
// Debian's command xsec-checksig (3.0.0-2) dies on every signature, because it creates one before it has set a URI
// resolver. This asks the same library in the right order, with the key pinned.
#include <fstream>
#include <iostream>
#include <iterator>
#include <string>

#include <xercesc/dom/DOM.hpp>
#include <xercesc/parsers/XercesDOMParser.hpp>
#include <xercesc/util/PlatformUtils.hpp>
#include <xercesc/util/XMLString.hpp>
#include <xsec/dsig/DSIGSignature.hpp>
#include <xsec/enc/OpenSSL/OpenSSLCryptoX509.hpp>
#include <xsec/framework/XSECException.hpp>
#include <xsec/framework/XSECProvider.hpp>
#include <xsec/framework/XSECURIResolverXerces.hpp>
#include <xsec/utils/XSECPlatformUtils.hpp>

using namespace xercesc;

static const char *WSU = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd";

static const char *DSIG = "http://www.w3.org/2000/09/xmldsig#";

static std::string base64_of(const char *file) {
    std::ifstream in(file);
    std::string line, all;
    while (std::getline(in, line)) {
        if (line.rfind("-----", 0) != 0) {
            all += line;
        }
    }
    return all;
}

static bool holds(const char *file, const std::string &certificate) {
    XercesDOMParser parser;
    parser.setDoNamespaces(true);
    parser.setCreateEntityReferenceNodes(true);
    parser.parse(file);
    DOMDocument *document = parser.getDocument();
    XMLCh *space = XMLString::transcode(WSU), *id = XMLString::transcode("Id");
    XMLCh *dsig = XMLString::transcode(DSIG), *name = XMLString::transcode("Signature");
    DOMNodeList *found = document->getElementsByTagNameNS(dsig, name);
    if (found->getLength() != 1) {
        throw std::string("not one signature");
    }
    XSECProvider provider;
    XSECURIResolverXerces resolver;
    provider.setDefaultURIResolver(&resolver);
    DSIGSignature *signature = provider.newSignatureFromDOM(document, found->item(0));
    signature->setIdByAttributeName(true);
    signature->registerIdAttributeNameNS(space, id);
    signature->load();
    OpenSSLCryptoX509 pinned;
    pinned.loadX509Base64Bin(certificate.c_str(), static_cast<unsigned int>(certificate.size()));
    signature->setSigningKey(pinned.clonePublicKey());
    const bool good = signature->verify();
    for (XMLCh *text : {space, id, dsig, name}) {
        XMLString::release(&text);
    }
    provider.releaseSignature(signature);
    return good;
}

int main(int count, char **words) {
    XMLPlatformUtils::Initialize();
    XSECPlatformUtils::Initialise();
    int status = 0;
    try {
        const std::string certificate = base64_of(words[1]);
        for (int at = 2; at < count; ++at) {
            std::cout << (holds(words[at], certificate) ? "valid " : "invalid ") << words[at] << std::endl;
        }
    } catch (const XSECException &error) {
        char *text = XMLString::transcode(error.getMsg());
        std::cerr << text << std::endl;
        status = 2;
    } catch (const std::string &error) {
        std::cerr << error << std::endl;
        status = 2;
    }
    XSECPlatformUtils::Terminate();
    XMLPlatformUtils::Terminate();
    return status;
}
